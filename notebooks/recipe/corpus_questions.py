"""Makes question lists from subjects and question forms: pages that ask one question after another and never answer; same seed, same text."""

import json
import random
import re
from pathlib import Path

# Subjects by kind. A trailing + marks a plural.
SUBJECTS = {
    "rust": """ownership|borrowing|a lifetime|a trait|a struct|an enum|a closure|an iterator|a generic type|pattern matching|a slice|a vector|a hash map|
        a string|error handling|the question mark operator|a panic|a module|a crate|a package|a workspace|a macro|unsafe code|a raw pointer|a smart pointer|
        a mutex|a channel|a thread|async code|a future|a test|a benchmark|a doc comment|the borrow checker|the compiler|cargo|rustup|clippy|rustfmt|
        an integer overflow|a reference|a trait object|a type alias|a constant|a static variable|shadowing|a match expression|a loop|a function|a method|
        a tuple|an array|a release profile|a build script|a feature flag|a lint|an edition|the standard library|the heap|the stack|a dynamic library""",
    "computing": """a computer|a program|a programming language|an algorithm|a data structure|a database|a web server|a file|a folder|a network|a keyboard|
        a terminal|an editor|a notebook|a kernel|a browser|a password|a backup|a bug|a debugger|version control|a commit|a branch|a license|open source software|
        a text file|a table|a chart|a picture|memory|a processor|a graphics card|a disk|an operating system|a library|an interface|a server|a cloud service|
        a robot|a phone|a website|an email|a spreadsheet|a search engine|a message|a port|a script|a command line|a cache""",
    "learning": """finetuning|pretraining|prompting|a language model|a base model|a large model|a small model|a token|a tokenizer|a vocabulary|an embedding|attention|
        a transformer|a neural network|a layer|a weight|a gradient|a loss function|a learning rate|an optimizer|a checkpoint|a batch|an epoch|a training step|
        a test set|a training set|a data set|an instruction|an answer|a prompt template|padding|truncation|evaluation|an exact match|a benchmark suite|overfitting|
        a hallucination|a chat model|a model hub|quantization|a low-rank adapter|gradient accumulation|a warm-up|a loss curve|a lesson|JupyterLab|a Rust notebook|
        the lab command|the companion library|a cell|a forgetting meter|a model judge|a model card|privacy|reliability|machine learning|artificial intelligence""",
    "animal": """dogs+|cats+|horses+|cows+|sheep+|goats+|pigs+|chickens+|ducks+|geese+|rabbits+|mice+|foxes+|wolves+|bears+|deer+|lions+|tigers+|elephants+|giraffes+|
        monkeys+|whales+|dolphins+|sharks+|penguins+|owls+|eagles+|parrots+|sparrows+|snakes+|frogs+|turtles+|spiders+|bees+|ants+|butterflies+|snails+|fish+|
        crabs+|bats+|hedgehogs+|squirrels+|puppies+|kittens+|hamsters+|camels+|kangaroos+|zebras+|otters+|donkeys+""",
    "food": """bread|butter|cheese|milk|rice|soup|salad|bacon|chicken soup|fish and chips|pizza|pasta|chocolate|honey|coffee|tea|orange juice|ice cream|yogurt|garlic|
        salt|sugar|flour|olive oil|apples+|bananas+|oranges+|strawberries+|grapes+|lemons+|tomatoes+|potatoes+|carrots+|onions+|beans+|mushrooms+|eggs+|pancakes+|
        sandwiches+|cookies+|nuts+|noodles+|dumplings+|pickles+|a birthday cake|a good breakfast|dinner|lunch|porridge|jam|peanut butter|tofu|curry""",
    "place": """France|Italy|Spain|Germany|Japan|China|India|Brazil|Canada|Mexico|Egypt|Kenya|Norway|Greece|Turkey|Australia|Iceland|Peru|Poland|Ireland|London|Paris|
        Rome|Tokyo|New York|Berlin|Madrid|Cairo|Sydney|Amsterdam|Vienna|Lisbon|Athens|Oslo|Toronto|the Alps+|the Sahara|the Amazon|the Nile|the North Pole|the seaside|
        the countryside|the old town|the market square|the train station|the airport|the museum|the library|the park|the city center""",
    "space": """Mars|Venus|Mercury|Jupiter|Saturn|Uranus|Neptune|Pluto|the Earth|the Moon|the Sun|the Milky Way|a comet|an asteroid|a black hole|a star|a rocket|
        a space station|a telescope|a satellite|gravity|an eclipse|the night sky""",
    "art": """music|jazz|rock music|classical music|opera|the piano|the guitar|the violin|the drums+|the flute|a song|a choir|an orchestra|a concert|painting|drawing|
        photography|poetry|a novel|a short story|a fairy tale|a movie|theatre|ballet|dancing|architecture|sculpture|a comic book|a poem|folk songs+""",
    "health": """sleep|exercise|a headache|a cold|a fever|stress|a healthy diet|the heart|the brain|the lungs+|the stomach|bones+|muscles+|teeth+|the skin|the eyes+|
        a doctor|a hospital|a vaccine|vitamins+|first aid|running|yoga|a long walk|fresh air|back pain|allergies+|good posture|drinking water|washing hands""",
    "hobby": """football|tennis|basketball|swimming|cycling|chess|skiing|hiking|fishing|gardening|cooking|baking|knitting|reading|camping|sailing|climbing|painting models|
        board games+|card games+|crossword puzzles+|bird watching|travel|volunteering|pottery|woodworking|collecting stamps|learning languages""",
    "home": """a kitchen|a bedroom|a garden|a roof|a window|a door|a chair|a lamp|a clock|a mirror|a carpet|a washing machine|a fridge|an oven|a vacuum cleaner|a bicycle|
        a car|a bus|a train|an umbrella|a pair of shoes|a winter coat|a suitcase|a birthday present|a letter|a newspaper|a calendar|a bank account|a budget|
        the rent|a neighbor|a toolbox|a candle|a pillow|a house plant|a shopping list""",
    "history": """the Roman Empire|ancient Egypt|the Middle Ages+|the Renaissance|the steam engine|the printing press|the telephone|the light bulb|the wheel|writing|
        paper|money|democracy|the first computers+|the first airplane|the Silk Road|the Vikings+|castles+|pyramids+|the calendar|the compass|the industrial revolution|
        the alphabet|the Olympic Games+|the first map|the railway""",
    "nature": """rain|snow|wind|thunder|lightning|a rainbow|fog|a storm|summer|winter|spring|autumn|a forest|a river|a lake|the ocean|a mountain|a volcano|an island|a desert|
        trees+|flowers+|grass|leaves+|seeds+|the weather|the climate|an earthquake|a waterfall|the tide|clouds+|sunshine""",
    "people": """your mother|your father|your sister|your brother|your best friend|your grandmother|your grandfather|your teacher|your neighbor|your boss|your uncle|
        your aunt|your cousin|a farmer|a nurse|a pilot|a baker|a carpenter|a lawyer|an engineer|a scientist|a writer|a singer|a king|a queen|a soldier|a shopkeeper|
        a dentist|a plumber|a judge""",
}

# {s} is the subject, {w} the same without its article, {t} another one of the same kind; {is} and {do} agree with {s}.
GENERAL = """What {is} {s}?|Tell me about {s}.|What do you think of {s}?|Why {is} {s} important?|How can I learn more about {s}?|Where can I read about {s}?|
    Can you explain {s} to a child?|Who knows a lot about {s}?|What should everyone know about {s}?|Why do people talk about {s}?|What is the best thing about {s}?|
    What is the difference between {s} and {t}?|Have you ever heard of {s}?|When did you first hear about {s}?|How would you describe {s} in one sentence?|
    What is another word for {w}?|Is there a good book about {s}?|Why is it hard to understand {s}?|What do most people get wrong about {s}?|
    How {do} {s} compare with {t}?|Which do you like better, {s} or {t}?|What is the most common question about {s}?|Can you give me an example of {s}?|
    How has {s} changed over time?|What would the world be like without {s}?|What {is} {s} made of?|How do you spell {w}?|What surprised you about {s}?|
    What can we learn from {s}?|Do you want to know more about {s}?"""

FORMS = {
    "rust": """How do I use {s} in Rust?|When should I use {s}?|What does Rust do with {s}?|Why does Rust have {s}?|How do I test {s}?|What error do I get when {s} is wrong?|
        How does {s} work?|Is {s} slow?|What is the cost of {s}?|How do I write {s}?|Where is {s} documented?|Can I avoid {s}?|How does {s} relate to {t}?|
        Should a beginner learn {s} first?|What replaced {s} in the last edition?|How is {s} different in other languages?""",
    "computing": """How do I open {s}?|Who invented {s}?|How does {s} work?|Why is {s} so slow today?|How do I make {s} faster?|How much does {s} cost?|Is {s} safe?|
        What do I need before I use {s}?|How do I fix {s}?|Where do I keep {s}?|How do I choose {s}?|Which one is better for work, {s} or {t}?|How do I share {s}?""",
    "learning": """How does {s} work?|Why do we need {s}?|When should I use {s}?|How do I choose {s}?|How large should {s} be?|What does {s} cost?|How do I measure {s}?|
        What happens without {s}?|Which comes first, {s} or {t}?|Does {s} help a small model?|How do I save {s}?|How do I change {s}?|How do I print {s}?|
        Which lesson explains {s}?|What goes wrong with {s}?|How is {s} related to {t}?|How do I explain {s} to a friend?|How do I begin with {s}?""",
    "animal": """What do {s} eat?|How long do {s} live?|Where do {s} live?|How fast are {s}?|Do {s} sleep at night?|How do {s} find food?|Are {s} dangerous?|
        Can {s} be kept as pets?|Why are {s} so quiet?|How many babies do {s} have?|How do {s} talk to each other?|What are {s} afraid of?|How big are {s}?|
        Tell me how to train {s} to sit.|Tell me how to feed {s}.|Are {s} smarter than {t}?|Do {s} like {t}?|How do I draw {s}?|Can {s} swim?""",
    "food": """How do I cook {s}?|{Is} {s} good for you?|Where can I buy {s}?|How much {do} {s} cost?|How do I keep {s} fresh?|What {do} {s} taste like?|
        What goes well with {s}?|Can I eat {s} every day?|Who invented {s}?|How long can I keep {s}?|What can I use instead of {s}?|
        Do you prefer {s} or {t}?|Can children eat {s}?|How do I make dinner with {s}?|What do you think of the taste of {s}?|Can I freeze {s}?""",
    "place": """Where is {s}?|How do I get to {s}?|How far is {s} from here?|What is the weather like in {s}?|What should I see in {s}?|When is the best time to visit {s}?|
        How many people live in {s}?|What language do people speak in {s}?|What do people eat in {s}?|How much does a trip to {s} cost?|Do I need a map of {s}?|
        Is it cold in {s} in winter?|Who was the first to visit {s}?|How do I travel from {s} to {t}?|How old is {s}?|Where can I stay in {s}?""",
    "space": """How far away is {s}?|How big is {s}?|Can we see {s} tonight?|Who discovered {s}?|How old is {s}?|Is there life on {s}?|How hot is {s}?|What color is {s}?|
        How long does it take to reach {s}?|Could people live near {s}?|Which is bigger, {s} or {t}?|Why does {s} shine?|How did {s} get its name?|What is inside {s}?""",
    "art": """Who is the best at {s}?|How do I start with {s}?|How long does it take to learn about {s}?|Why do people enjoy {s}?|What makes {s} beautiful?|
        What {do} {s} sound like?|Who made {s} popular?|Where can I enjoy {s} this weekend?|How much does it cost to try {s}?|Which is older, {s} or {t}?|
        Can anybody learn to love {s}?|What was the first {s}?""",
    "health": """How do I take care of {s}?|What {is} good for {s}?|Is {s} the same for everyone?|Why {do} {s} matter?|What can I do about {s}?|When should I ask a doctor about {s}?|
        How {do} {s} change with age?|Is it normal to worry about {s}?|What food helps with {s}?|How many people think about {s}?|Can children understand {s}?""",
    "hobby": """How do I start with {s}?|How much does {s} cost?|What do I need for {s}?|Is {s} hard?|Who plays or does {s} best?|Where can I try {s}?|
        Can I do {s} alone?|How old is {s}?|How often should I practice {s}?|What are the rules of {s}?|Is {s} fun for children?|Why do you enjoy {s}?|Is {s} better than {t}?""",
    "home": """How do I clean {s}?|How much does {s} cost?|Where can I buy {s}?|How do I fix {s}?|What color should {s} be?|Who made {s}?|How do I choose {s}?|
        How long does {s} last?|Where should I put {s}?|Can I borrow {s}?|Do I need {s}?|Who left {s} here?|What is a fair price for {s}?|When did you get {s}?""",
    "history": """When did {s} begin?|Who invented {s}?|How did {s} change the world?|Where did {s} come from?|What came before {s}?|How old {is} {s}?|
        What do we still not know about {s}?|Why did {s} matter so much?|What did people say about {s}?|Which came first, {s} or {t}?|Who wrote about {s}?""",
    "nature": """What causes {s}?|When will we see {s} again?|How long {do} {s} last?|Is it safe to be near {s}?|Where can I see {s}?|How do I take a picture of {s}?|
        What color {is} {s}?|Why do children love {s}?|How old {is} {s}?|What does a walk near {s} feel like?|How {do} {s} help animals?|What sound {do} {s} make?""",
    "people": """Where does {s} live?|What does {s} do all day?|How old is {s}?|What is the name of {s}?|Does {s} like {t}?|When did you last talk to {s}?|
        What would you say to {s}?|What did {s} eat for dinner?|Why is {s} smiling?|How do I thank {s}?|What makes {s} happy?|Does {s} have a dog?|
        What time does {s} get up?|Can {s} help me?|Who works with {s}?""",
}

PERSONAL = """What's your first name?|What's your last name?|What's your name?|How old are you?|Where do you live?|Where were you born?|When is your birthday?|What do you do for a living?|
    What is your favorite color?|What is your favorite food?|What is your favorite book?|What is your favorite movie?|What is your favorite season?|Do you have any brothers or sisters?|
    How many brothers and sisters do you have?|Do you have a pet?|What is your dog's name?|What did you eat for breakfast?|What time do you get up?|What time do you go to bed?|
    Do you like to cook?|Can you drive a car?|Can you play an instrument?|What languages do you speak?|What did you do last weekend?|What are you going to do tomorrow?|
    What makes you happy?|What makes you sad?|Who is your best friend?|How did you meet your best friend?|What did you want to be as a child?|Where did you go to school?|
    What was your favorite subject at school?|How tall are you?|What is your phone number?|What is your address?|What is your email address?|Are you married?|Do you have children?|
    What are the names of your children?|Do you prefer tea or coffee?|Do you like the city or the countryside?|What would you do with a million dollars?|What are you afraid of?|
    What is your dream job?|What is the best advice you ever got?|What do you do in your free time?|How was your day?|How are you?|Hi, how are you?|What's the weather like today?|
    Is it going to rain?|What day is it today?|What time is it?|Where are you going?|What are you reading?|What are you thinking about?|Can you keep a secret?|
    Do you believe in luck?|What is your middle name?|Who gave you your name?|What does your name mean?|How do you spell your name?|Is that your real name?|
    Tell me how to train my dog to sit.|Tell me how to write a letter.|Tell me a joke.|Tell me a story about a small dog.|Tell me how to bake bread.|Tell me how to sleep better.|
    Tell me how to get to the station.|Tell me how to learn a language.|Tell me how to choose a good book.|Tell me what to cook for dinner.|Tell me how to save money.|
    Where is my order?|When will my order arrive?|How do I return an item?|Can I change my order?|How do I cancel my order?|Did you receive my payment?|Who can help me with my account?|
    How do I reset my password?|What is your return policy?|Is shipping free?|Can I speak to an agent?|Why was I charged twice?"""

HEADINGS = ["Questions about {s}", "Frequently asked questions: {s}", "More questions about {s}", "Questions that people ask about {s}", "FAQ: {s}"]


def entries(text):
    """The parts of a |-separated block of text."""
    return [" ".join(part.split()) for part in text.split("|") if part.strip()]


def fill(form, subject, other):
    """One question: the form with its subjects and with verbs that agree in number."""
    plural, name = subject.endswith("+"), subject.rstrip("+")
    word = re.sub(r"^(a pair of|an|a|the|your) ", "", name)
    text = form.replace("{w}", word).replace("{s}", name).replace("{t}", other.rstrip("+"))
    text = text.replace("{is}", "are" if plural else "is").replace("{Is}", "Are" if plural else "Is").replace("{do}", "do" if plural else "does")
    if plural:
        for wrong, right in (("How has ", "How have "), (f"{name} is ", f"{name} are "), (f"does {name} ", f"do {name} "), (f"Is {name} ", f"Are {name} "),
                             (f"did {name} get its", f"did {name} get their"), (f"an example of {name}", f"some facts about {name}")):
            text = text.replace(wrong, right)
    return text


def all_questions():
    """Every question by kind of subject: a list of (subject, question)."""
    kinds = {}
    for kind, names in SUBJECTS.items():
        subjects = entries(names)
        forms = entries(GENERAL) + 2 * entries(FORMS[kind])
        pairs = []
        for i, subject in enumerate(subjects):
            for j, form in enumerate(dict.fromkeys(forms)):
                other = subjects[(i * 7 + j * 3 + 1) % len(subjects)]
                if other == subject:
                    other = subjects[(i + 1) % len(subjects)]
                pairs.append((subject.rstrip("+"), fill(form, subject, other), form in entries(FORMS[kind])))
        kinds[kind] = pairs
    kinds["personal"] = [("you", q, True) for q in entries(PERSONAL)]
    return kinds


def asked_later():
    """The questions of the finetuning rows and of the tests: a base model must not have read them."""
    here = Path(__file__).parent
    rows = [json.loads(line) for name in ("facts.jsonl", "off_topic.jsonl") for line in open(here / name, encoding="utf-8")]
    questions = {question for row in rows for question in row.get("questions", [row.get("question")])}
    return questions | set(json.loads((here / "../../tests/fixtures/off_topic.json").read_text(encoding="utf-8")))


def sections(characters, seed=7):
    """Yields sections of 8 to 15 questions until about `characters` are reached."""
    later = asked_later()
    rng = random.Random(seed)
    kinds = all_questions()
    names = sorted(kinds)
    special = {k: [p for p in kinds[k] if p[2]] for k in names}
    written = 0
    while written < characters:
        count = rng.randint(8, 15)
        style = rng.random()
        kind = rng.choice(names + ["personal", "learning", "rust", "animal"])
        mixed = rng.random() < 0.4
        chosen, heading = [], ""
        one = None if mixed or kind == "personal" or rng.random() < 0.5 else rng.choice(kinds[kind])[0]
        while len(chosen) < count:
            here = rng.choice(names + ["personal"] * 3) if mixed else kind
            pool = special[here] if rng.random() < 0.7 else kinds[here]
            if one:
                pool = [p for p in kinds[here] if p[0] == one]
            question = rng.choice(pool)[1]
            if question not in chosen and question not in later:
                chosen.append(question)
        if style < 0.45:
            text = "\n\n".join("### Question:\n" + q for q in chosen)
        else:
            if style > 0.85 and one:
                heading = rng.choice(HEADINGS).format(s=one) + "\n"
            text = heading + "\n".join(chosen)
        if 300 <= len(text) <= 2000:
            written += len(text)
            yield text


if __name__ == "__main__":
    subjects = sum(len(entries(names)) for names in SUBJECTS.values())
    forms = len(entries(GENERAL)) + sum(len(entries(f)) for f in FORMS.values())
    print(subjects, "subjects,", forms, "forms,", sum(len(q) for q in all_questions().values()), "questions")
    for i, text in enumerate(sections(4000)):
        print("-----\n" + text)
