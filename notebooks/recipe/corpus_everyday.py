"""Makes plain everyday prose from scenes of sentence patterns and from hand-written facts, so that everyday words are known; same seed, same text."""

import random
import re

WORDS = {
    "girl": "Anna Mary Lucy Emma Clara Nina Rosa Julia Sara Ida Grace Helen Maya Lily Olivia".split(),
    "boy": "Tom Ben Max Paul Leo Sam Peter Jack David Omar Noah Hugo Martin Felix Adam".split(),
    "dog": "Rex Bella Buddy Molly Rusty Daisy".split(),
    "pet": ["dog", "puppy", "cat", "kitten", "rabbit", "old dog", "small dog", "big dog"],
    "animal": ["horse", "cow", "sheep", "goat", "fox", "owl", "duck", "deer", "squirrel", "hedgehog", "frog", "bird", "mouse", "pig"],
    "family": ["mother", "father", "sister", "brother", "grandmother", "grandfather", "aunt", "uncle", "cousin"],
    "dish": ["soup", "pasta", "rice and beans", "fish with potatoes", "bacon and eggs", "a salad", "pancakes", "pizza", "a chicken pie", "noodles", "fried rice"],
    "fruit": ["apples", "bananas", "oranges", "grapes", "lemons", "strawberries", "pears", "plums", "cherries"],
    "vegetable": ["carrots", "onions", "potatoes", "tomatoes", "beans", "mushrooms", "peas", "cabbage", "garlic"],
    "drink": ["tea", "coffee", "milk", "orange juice", "water", "hot chocolate", "lemonade"],
    "meal": ["breakfast", "lunch", "dinner", "supper"],
    "city": ["London", "Paris", "Rome", "Tokyo", "Berlin", "Madrid", "Vienna", "Lisbon", "Oslo", "Cairo", "Toronto", "Athens", "New York"],
    "country": ["France", "Italy", "Spain", "Japan", "China", "India", "Brazil", "Canada", "Mexico", "Egypt", "Norway", "Greece", "Peru"],
    "day": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split(),
    "month": "January February March April May June July August September October November December".split(),
    "season": ["spring", "summer", "autumn", "winter"],
    "sky": ["cloudy", "clear", "grey", "blue", "dark", "bright"],
    "weather": ["It rained", "It snowed", "The sun was shining", "A cold wind was blowing", "There was fog over the river", "It was warm and dry", "A storm was coming"],
    "number": ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "twelve", "twenty"],
    "hour": ["six", "seven", "eight", "nine", "ten", "eleven", "twelve"],
    "color": ["red", "blue", "green", "yellow", "white", "black", "brown", "orange", "purple", "grey"],
    "job": ["teacher", "doctor", "nurse", "baker", "farmer", "pilot", "writer", "engineer", "carpenter", "dentist", "driver", "cook", "singer"],
    "music": ["the piano", "the guitar", "the violin", "the flute", "the drums"],
    "sport": ["football", "tennis", "basketball", "chess", "volleyball", "table tennis"],
    "thing": ["book", "lamp", "clock", "chair", "umbrella", "bicycle", "coat", "camera", "phone", "suitcase", "map", "mirror", "radio", "hat"],
    "room": ["kitchen", "bedroom", "living room", "garden", "garage", "hall", "bathroom"],
    "place": ["park", "library", "museum", "market", "station", "school", "beach", "bakery", "old town", "post office", "hospital", "lake", "river", "forest"],
    "feeling": ["happy", "tired", "hungry", "proud", "surprised", "calm", "worried", "glad", "excited"],
    "planet": ["Mercury", "Venus", "Mars", "Jupiter", "Saturn", "Uranus", "Neptune"],
    "subject": ["history", "mathematics", "music", "science", "geography", "English", "art", "biology"],
}

# Every scene is a list of sentence patterns; {a} is the hero, {he} and {his} agree with it.
SCENES = [
    """On {day} morning {a} got up at {hour}.|{weather} when {a} opened the window.|{a} made a cup of {drink} and some toast with butter.|The {pet} was already waiting at the door.|
    {He} put on a {color} coat and went to the {place}.|The sky was {sky} and the street was quiet.|{a} met {his} {family} on the way.|They talked about the weather and about {month}.|
    After {number} minutes the bus came.|{He} was a little {feeling} that day.|In the evening {he} read a book about {animal}s.|Then {he} turned off the light and went to sleep.""",
    """{a} has a {pet} called {dog}.|{dog} likes to sleep in the {room}.|Every day they walk to the {place} and back.|{a} teaches {dog} to sit, to stay and to come.|
    First {he} says the word, then {he} waits, and then {he} gives a small treat.|{dog} learns quickly when the lesson is short.|When {dog} sits, {a} says good dog.|
    It is important to be patient and kind.|After {number} days {dog} can sit without help.|{dog} is afraid of thunder, but not of the {animal} next door.|
    In {season} they swim in the lake.|At night {dog} sleeps beside the bed.""",
    """For {meal} {a} wants to cook {dish}.|{He} needs {vegetable}, {vegetable2} and a little salt.|First {he} washes the {vegetable} and cuts them into small pieces.|
    Then {he} heats some oil in a pan.|The food cooks for {number} minutes.|{He} adds pepper and tastes it with a spoon.|{His} {family} sets the table.|They drink {drink} with the food.|
    For dessert there are {fruit} with cream.|Everybody says that the {meal} tastes very good.|After the meal they wash the plates together.|Bacon is salty and crisp, and honey is sweet.""",
    """The weather in {city} changes quickly in {month}.|In the morning the sky is {sky}.|By noon there are clouds, and it may rain in the afternoon.|A cold wind comes from the north.|
    On {day} it will be warm and dry.|In {season} the days are long and the nights are short.|In winter it snows in the mountains.|Take an umbrella when you leave the house.|
    The storm will pass before the evening.|After the rain there is often a rainbow.|The leaves turn {color} and yellow in autumn.|At night the temperature falls below zero.""",
    """{a} wants to travel from {city} to {country}.|{He} buys a ticket at the station.|The train leaves at {hour} in the morning.|{His} {color} suitcase is heavy.|The trip takes {number} hours.|
    From the window {he} sees fields, rivers and small villages.|In {country} {he} visits a museum and an old castle.|{He} eats {dish} in a small restaurant.|The hotel is near the {place}.|
    {He} sends a letter to {his} {family}.|On {day} {he} flies home.|The people there are friendly and speak slowly.|{He} takes many pictures with {his} camera.""",
    """{planet} is a planet of our solar system.|Mars is called the red planet because its soil contains iron.|The Earth moves around the Sun once a year.|The Moon moves around the Earth once a month.|
    Jupiter is the largest planet.|Saturn has bright rings of ice and rock.|Venus is very hot because of its thick air.|Mercury is the planet nearest to the Sun.|Neptune is cold, dark and far away.|
    At night {a} looks at the stars through a telescope.|No human has walked on Mars yet.|Robots have driven over the surface of Mars and taken pictures.|A day on Mars is a little longer than a day on the Earth.|
    The Sun is a star that gives us light and heat.""",
    """{a} works in the garden every {day}.|{He} plants {vegetable} in {month}.|The {fruit} are ripe at the end of {season}.|Plants need water, light and good soil.|A {animal} lives under the old tree.|
    The roses are {color} and smell sweet.|Bees fly from flower to flower.|{His} {family} cuts the grass.|They sit on the bench and drink {drink}.|Seeds grow slowly at first.|
    When it does not rain, {he} waters the garden in the evening.|The birds eat some of the {fruit}.""",
    """The school is near the {place}.|{a} learns {subject} and {subject2} there.|{His} teacher is friendly and explains everything twice.|There are {number} children in the class.|
    At {hour} the first lesson begins.|{a} writes a story about a {animal}.|{His} best friend likes {subject}.|During the break they play {sport}.|They eat {fruit} and bread for lunch.|
    On {day} they visit the museum.|The homework is a page of questions.|{a} was {feeling} about the test.|Reading every day helps a lot.""",
    """{a} plays {music} in a small band.|They practice every {day} at {hour}.|A song has a melody and a rhythm.|The concert is in the old theatre of {city}.|{His} {family} sings in a choir.|
    People clap their hands when they like the music.|It takes years to play {music} well.|The first song was slow and sad, the last one was fast and happy.|An orchestra has many players and one conductor.|
    Jazz began in the south of the United States.|{a} was {feeling} before the concert.|After the concert they drank {drink} and talked.""",
    """{a} goes to the market on {day}.|{He} wants to buy {fruit}, {vegetable} and bread.|The {fruit} cost {number} dollars.|A woman sells fresh fish and cheese.|{He} pays with coins and puts everything into a bag.|
    The market opens at {hour} and closes in the afternoon.|{a} compares the prices before {he} buys.|A {color} {thing} is too expensive today.|{His} list is long, but {he} has enough money.|
    On the way home {he} meets a neighbor.|They drink {drink} in a small cafe.|{He} forgot the eggs.""",
    """{a} has a headache and a cold today.|The doctor says that {he} should rest and drink a lot of {drink}.|Sleep is good for the body and for the mind.|Fruit and vegetables contain vitamins.|
    Walk for {number} minutes every day.|Wash your hands before you eat.|The heart moves blood through the body.|The lungs take oxygen from the air.|Brush your teeth in the morning and in the evening.|
    {His} {family} brings hot soup.|After {number} days {a} feels well again.|Too much sugar is bad for the teeth.|Fresh air helps when you are tired.""",
    """{a} is the {family2} of {b}.|They live in a {color} house near the {place}.|{b} is {number} years old and {a} is older.|Their {family} comes from {country}.|On {day} the whole family eats {meal} together.|
    {b} works as a {job} in {city}.|{a} wants to be a {job2}.|They have a {pet} and two birds.|In the living room there is a picture of their grandmother.|They laugh about the same jokes.|
    Every {month} they visit their cousins.|{b} helps {a} with the homework.|My first name is short and my last name is long, said {b}.""",
    """{a} plays {sport} every {day}.|{His} team wears {color} shirts.|The game begins at {hour}.|They won by {number} points.|The other team was faster, but not as patient.|Rain made the grass wet.|
    {b} ran to the ball and fell.|The people on the benches shouted and sang.|After the game both teams shook hands.|{a} was {feeling} and very tired.|A good player watches the others.|
    Practice makes everything easier.|In {season} they swim or ride their bicycles.""",
    """{a} ordered a {color} {thing} from a shop in {city}.|The order has not arrived yet.|{He} wrote a message to the shop.|An agent answered within {number} hours.|The agent asked for the number of the order.|
    The package was sent on {day}.|It will arrive before the end of {month}.|{a} can return the {thing} if it is broken.|The shop pays the money back.|{He} thanked the agent for the help.|
    The delivery is free for large orders.|The {thing} was in a big box with paper.""",
    """Long ago, people lived in caves and hunted animals.|Then they learned to grow wheat and to keep {animal}s.|The wheel made it easy to move heavy things.|The Romans built roads, bridges and baths.|
    In Egypt, kings were buried in pyramids.|Paper was invented in China.|The printing press made books cheap.|In those days a letter needed {number} weeks to reach {country}.|Ships found their way by the stars.|
    The first trains were slow and loud.|The telephone changed how people talk.|{a} read about it in a book of the library in {city}.|History helps us to understand the present.""",
    """{a} lives in the {room2} of an old house.|There is a {color} {thing} next to the window.|The clock on the wall shows {hour}.|{He} cleans the {room} every {day}.|A lamp stands on the table.|
    The door is {color2} and the walls are white.|When it is cold, {he} closes the windows.|The neighbor plays {music} in the evening.|{a} lost {his} keys and found them under the {thing}.|
    The rent is paid on the first day of {month}.|There is a smell of fresh bread in the kitchen.|The old sofa is soft and warm.""",
    """The {animal} lives in the forest near the {place}.|In {season} it looks for food.|It sleeps during the day and comes out at night.|Its fur is {color} and soft.|A {animal2} sits on a branch and watches.|
    Wolves live in groups, bears live alone.|Elephants are the largest animals on land.|A whale is not a fish, although it lives in the sea.|Birds build nests in {month}.|Bees make honey.|
    {a} saw {number} deer at the edge of the forest.|A spider has eight legs and an ant has six.|Cats can see well in the dark.|A horse can sleep while it stands.""",
    """{a} works as a {job}.|{He} goes to work at {hour}.|The office is in the center of {city}.|{He} answers letters and talks to many people.|At noon {he} eats {dish} with {b}.|
    {b} is a {job2} and works at night.|A baker gets up very early.|A farmer works with {animal}s and machines.|The meeting on {day} was long.|{a} was {feeling} about the new plan.|
    {He} earns enough money for the rent.|In {month} {he} takes a holiday.|Good work needs time and care.""",
]

FACTS = """Water boils at a hundred degrees at sea level.|Ice is lighter than water, so it floats.|There are seven days in a week and twelve months in a year.|A year has three hundred and sixty-five days.|
    The capital of France is Paris.|The capital of Japan is Tokyo.|The capital of Italy is Rome.|The capital of Egypt is Cairo.|The Nile is one of the longest rivers of the world.|The Sahara is a large desert in Africa.|
    Mount Everest is the highest mountain of the Earth.|The Pacific is the largest ocean.|A triangle has three sides and a square has four.|Two and two are four.|Ten times ten is a hundred.|
    Red and yellow make orange.|Blue and yellow make green.|Snow is white and grass is green.|The sun rises in the east and sets in the west.|A magnet attracts iron.|Sound is slower than light.|
    Plants use light to make sugar.|Fish breathe with gills.|Birds have feathers and lay eggs.|Dogs can hear sounds that people cannot hear.|Cows eat grass and give milk.|Sheep give us wool.|
    Penguins are birds that cannot fly.|Frogs begin their life in the water.|A butterfly begins its life as a caterpillar.|Bread is made of flour, water and salt.|Cheese is made from milk.|
    Chocolate is made from cocoa beans.|Tea comes from the leaves of a plant.|Rice grows in wet fields.|Olives grow on trees.|Potatoes grow under the ground.|Salt comes from the sea or from mines.|
    The heart is a muscle.|People have two hands and ten fingers.|Bones hold the body up.|The brain controls the body.|A doctor helps people who are ill.|A thermometer measures heat.|A clock measures time.|
    A map shows roads and rivers.|A dictionary explains words.|A bridge leads over a river.|A bicycle has two wheels.|Trains run on rails.|Planes fly above the clouds.|Ships carry goods over the sea.|
    A week before the holiday everybody is busy.|Old friends are the best friends.|It is never too late to learn.|A short walk clears the head.|Many hands make light work.|An apple a day is a good habit.|
    Please close the door when you leave.|Thank you for your letter.|I am sorry that I am late.|See you tomorrow at the station.|Good morning, how are you?|I am fine, thank you.|Have a nice day.|
    My name is on the door.|The shop is closed on Sunday.|Turn left at the next corner.|The museum is free for children.|The bus stops in front of the hospital.|Keep the milk in the fridge.|Do not feed the animals."""

# What an elementary science lesson says. The forgetting meter asks for these facts in other words.
SCIENCE = """Plants need sunlight to make their own food.|With sunlight, air and water a plant makes its food.|When water boils, it becomes steam.|Boiling water turns into steam.|A whale is a mammal that lives in the sea.|
    Whales and dolphins are mammals, sharks are fish.|The roots of a plant take in water from the soil.|Roots hold the plant and bring it water.|Gravity pulls a falling apple to the ground.|The force of gravity pulls everything down.|
    A magnet attracts an iron nail, but not wood, glass or rubber.|Iron is attracted by a magnet.|The Earth turns around its axis, and this causes day and night.|Day and night come because the Earth turns.|
    Jupiter is the largest planet in our solar system.|No planet is larger than Jupiter.|People need to breathe oxygen.|Oxygen is the gas that people and animals need.|The heart pumps blood through the body.|Blood is pumped by the heart.|
    A thermometer measures temperature.|The temperature is read from a thermometer.|A rock is a solid, milk is a liquid and air is a gas.|A rock keeps its shape because it is a solid.|A butterfly is a caterpillar first.|
    The caterpillar becomes a butterfly.|A candle flame is a source of light.|A flame gives light, a mirror only reflects it.|Bees collect nectar from flowers and make honey.|Nectar is the sweet juice that bees find in flowers.|
    Wind is a renewable source of energy, coal and oil are not.|Wind and sunlight are renewable energy.|We use our ears for hearing.|Hearing is the sense of the ears.|Ice is frozen water.|When water is frozen, it becomes ice.|
    A chicken lays eggs.|Eggs are laid by chickens, ducks and other birds.|The lungs take oxygen from the air.|With the lungs we breathe.|Spring comes after winter.|After winter comes spring, and after summer comes autumn.|
    Copper carries electricity well, rubber and plastic do not.|Wires are made of copper because it carries electricity.|The Earth moves once around the Sun in one year.|One year is the time that the Earth needs to move around the Sun.|
    A food chain begins with a plant.|First in a food chain there is a plant, then an animal that eats it.|A rabbit eats only plants.|Rabbits, cows and sheep eat plants, wolves eat meat.|Gills help a fish to breathe under water.|
    A fish breathes with its gills.|Salt and water make a solution.|When salt is stirred into water, a solution is made.|Light colors reflect sunlight, dark colors take in heat.|On a hot day people wear light colors, because light colors reflect sunlight.|
    When wood burns, this is a chemical change.|A chemical change makes a new material, as when wood burns.|The skull protects the brain.|The brain lies inside the skull.|The Sun is the star that is closest to the Earth.|
    Our closest star is the Sun.|A compass needle points to the north.|The needle of a compass shows the north.|Water is a liquid.|A liquid like water takes the shape of its cup.|The leaves make food for the plant.|
    It is the job of leaves to make food for the plant.|Igneous rock forms when lava cools.|When lava cools, it becomes igneous rock.|The pull of the Moon causes the tides of the ocean.|The tides come from the pull of the Moon.|
    A penguin has feathers, although it cannot fly.|Feathers keep a penguin warm.|Animals without a backbone are called invertebrates.|Spiders, worms and insects are invertebrates.|A fire needs oxygen to burn.|Without oxygen no fire can burn.|
    A ramp is an inclined plane.|An inclined plane is a simple machine, like a ramp.|Vibrating strings make the sound of a guitar.|The guitar sounds because of its vibrating strings.|The meter is a unit of length.|We measure length in meters.|
    Snow falls from clouds as flakes of frozen water.|Flakes of frozen water are called snow.|Light enters the eye through the pupil.|The pupil is the part of the eye that lets light in.|Birds fly south before winter to find food and warm weather.|
    In autumn many birds fly south, where they find food and warm weather.|Grass is a producer, because it makes its own food.|Grass and trees are producers, a fox is not.|An insect has six legs.|Ants, bees and other insects have six legs.|
    Most materials expand when they are heated.|Heated metal expands.|Eggs have a lot of protein.|Protein is found in eggs, fish and beans.|The tongue helps us to taste.|We taste sweet and salty food with the tongue.|
    The center of an atom is called the nucleus.|Every atom has a nucleus.|A cell is the smallest unit of life.|All living things are made of cells, and a cell is the smallest unit.|In a storm we see the flash first, because light is faster than sound.|
    Light is faster than sound.|A closed cooler with ice keeps a drink cold.|Ice in a closed cooler keeps the drinks cold for a long time.|A seed can grow into a new plant.|Seeds grow into new plants.|An owl is active at night.|
    At night the owl hunts mice.|A cactus stores water in its stem.|The stem of a cactus is full of water.|Running water can cause erosion.|Erosion is caused by running water and by wind.|Saturn is known for its bright rings.|
    The planet with the bright rings is Saturn.|Wash your hands before you eat, to keep germs away.|People wash their hands, because soap and water remove germs."""


def patterns(text):
    """The parts of a |-separated block of text."""
    return [" ".join(part.split()) for part in text.split("|") if part.strip()]


def scene(rng, sentences, count):
    """`count` sentences of one scene in their order, every slot filled with the same word throughout."""
    girl = rng.random() < 0.5
    values = {"a": rng.choice(WORDS["girl" if girl else "boy"]), "b": rng.choice(WORDS["boy" if girl else "girl"]),
              "he": "she" if girl else "he", "his": "her" if girl else "his", "family2": "sister" if girl else "brother"}
    values.update({"He": values["he"].title(), "His": values["his"].title()})
    chosen = sorted(rng.sample(range(len(sentences)), min(count, len(sentences))))
    text, named = [], False
    for i in chosen:
        sentence = sentences[i]
        if not named and re.search(r"\{(he|his|He|His)\}", sentence) and "{a}" not in sentence:
            sentence = re.sub(r"\{He\}", "{a}", sentence, count=1)
            sentence = re.sub(r"\{His\}", "{a}'s", sentence, count=1)
            if "{a}" not in sentence:
                sentence = re.sub(r"\{his\}", "{a}'s", re.sub(r"\{he\}", "{a}", sentence, count=1), count=1)
        named = named or "{a}" in sentence
        for slot in re.findall(r"\{(\w+)\}", sentence):
            if slot not in values:
                taken = set(values.values())
                values[slot] = rng.choice([w for w in WORDS[slot.rstrip("2")] if w not in taken])
            sentence = sentence.replace("{" + slot + "}", values[slot], 1)
        sentence = re.sub(r"\b([Aa]) (?=[aeiou])(?!un)", r"\1n ", sentence)
        text.append(sentence[0].upper() + sentence[1:])
    return " ".join(text).replace("mouses", "mice").replace("sheeps", "sheep").replace("deers", "deer").replace("foxs", "foxes")


def sections(characters, seed=11):
    """Yields sections of 300 to 900 characters until about `characters` are reached."""
    rng = random.Random(seed)
    scenes = [patterns(s) for s in SCENES]
    facts, science = patterns(FACTS), patterns(SCIENCE)
    seen, written = set(), 0
    while written < characters:
        kind = rng.random()
        if kind < 0.08:
            text = " ".join(rng.sample(facts, rng.randint(9, 14)))
        elif kind < 0.40:
            text = " ".join(rng.sample(science, rng.randint(9, 14)))
        else:
            first = rng.choice(scenes)
            text = scene(rng, first, rng.randint(7, 11))
            if rng.random() < 0.35:
                text += "\n\n" + scene(rng, rng.choice([s for s in scenes if s is not first]), rng.randint(5, 8))
        if 300 <= len(text) <= 2000 and text not in seen:
            seen.add(text)
            written += len(text)
            yield text


if __name__ == "__main__":
    for text in sections(6000):
        print("-----\n" + text)
