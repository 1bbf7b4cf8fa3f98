"""A shop's messages by rules -> data/desk.jsonl, data/support.jsonl, data/desk_test.jsonl.

python3 notebooks/recipe/desk.py notebooks/data

A row's question is a customer's message, its answer the four things that a program needs. `desk` and `support` differ in
one thing: `desk` knows 22 items, `support` as many as it has rows. The test's items, names and last frame are in neither.
"""

import json
import random
import sys
from pathlib import Path

FRAMES = [
    "Good morning, my {item} {what}. The order is {order}. Yours, {name}",
    "Hello, I bought {a} {item} (order number {order}). It {what}. Thanks, {name}",
    "Hi, this is {name}. The {item} from order {order} {what}. Can you help?",
    "Order {order}: my {item} {what}. Regards, {name}",
    "{name} here. About {order}: the {item} {what}!",
]
NEW_FRAME = "To whom it may concern: under order {order} I bought {a} {item}. It {what}. {name}"
WHAT = {
    "broken": ["arrived in pieces", "came with a crack", "does not work at all", "has a broken handle"],
    "late": [
        "has not arrived yet",
        "still did not come",
        "is nowhere to be seen, I have been waiting for days",
        "was promised for last week and is not here",
    ],
    "refund": [
        "goes back to you today, please refund it",
        "is not for me, I want my money back",
        "is too expensive after all, please give the money back",
        "was returned two weeks ago and I still wait for the money",
    ],
    "wrong": [
        "has the wrong size",
        "is a different model from the one on your page",
        "is not what I ordered",
        "is the wrong colour",
    ],
}
NAMES = "Ana Ben Chloe David Emma Felix Grace Hugo Ines Jonas Kim Lena Mia Noah".split()
TEST_NAMES = "Olga Paul Rosa Sam Tara Ute".split()
DESK_ITEMS = [
    "backpack", "bicycle bell", "blanket", "chair", "clock", "coat", "desk", "jacket", "kettle", "lamp", "mirror", "mug",
    "notebook", "pillow", "radio", "rug", "scarf", "shelf", "teapot", "tent", "toaster", "umbrella",
]
MORE_ITEMS = [
    "apron", "armchair", "ashtray", "baking tin", "ball pump", "banner", "bathrobe", "beach towel", "bed frame", "bench",
    "bookend", "bottle opener", "bowl", "bread knife", "broom", "bucket", "cable", "cake stand", "camera", "carpet",
    "charger", "chess set", "chopping board", "coffee grinder", "comb", "compass", "cooler", "corkscrew", "curtain",
    "cutting mat", "dog collar", "doorbell", "doormat", "drawer", "drill", "drum", "dumbbell", "easel", "extension lead",
    "fan", "filter jug", "flag", "flower pot", "football", "fountain pen", "frame", "frying pan", "garden hose", "glove box",
    "globe", "guitar strap", "hairbrush", "hair dryer", "hammer", "hat", "heater", "hook", "ice tray", "iron", "jewel box",
    "jigsaw", "keyboard", "key ring", "kite", "ladder", "lantern", "laundry bag", "lunch box", "magnet", "mattress",
    "measuring cup", "microphone", "mixer", "monitor", "mop", "mouse mat", "music stand", "nightlight", "oven glove",
    "paddle", "paint brush", "parasol", "pepper mill", "phone case", "piggy bank", "plate", "pocket knife", "poster",
    "printer", "puzzle", "quilt", "raincoat", "razor", "roller blind", "rucksack", "saddle", "salad bowl", "sandal",
    "saucepan", "scale", "screwdriver", "shower head", "skateboard", "sleeping bag", "sofa", "spade", "speaker",
    "spice rack", "suitcase", "sunglasses case", "sweater", "table", "tablecloth", "telescope", "thermometer", "torch",
    "toy car", "tray", "tripod", "trolley", "trumpet", "vacuum cleaner", "waffle iron", "wallet", "wardrobe", "wheelbarrow",
    "whistle", "wok",
]
TEST_ITEMS = [
    "basket", "candle", "cushion", "flask", "hammock", "headset", "helmet", "ladle", "pram", "racket", "sledge", "stool",
    "vase", "violin",
]


def rows(count, items, names, frames, seed):
    """Frames, problems, items and names in turns, each list shuffled anew when it is used up."""
    chance, decks = random.Random(seed), {}

    def draw(name, cards):
        if not decks.get(name):
            decks[name] = chance.sample(cards, len(cards))
        return decks[name].pop()

    for _ in range(count):
        problem = draw("problem", sorted(WHAT))
        order, what = chance.randrange(1000, 10000), draw(problem, WHAT[problem])
        item, name, frame = draw("item", items), draw("name", names), draw("frame", frames)
        yield {
            "question": frame.format(a="an" if item[0] in "aeiou" else "a", item=item, what=what, order=order, name=name),
            "answer": f"order={order}; item={item}; problem={problem}; name={name}",
        }


def main():
    folder = Path(sys.argv[1])
    sets = {
        "desk": rows(150, DESK_ITEMS, NAMES, FRAMES, 1),
        "support": rows(150, DESK_ITEMS + MORE_ITEMS, NAMES, FRAMES, 2),
        "desk_test": rows(40, TEST_ITEMS, TEST_NAMES, [*FRAMES, NEW_FRAME], 3),
    }
    for name, lines in sets.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


main()
