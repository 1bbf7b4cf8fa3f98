//! Sentence patterns and word lists → `data/stories.jsonl`: small stories, lists of questions that nobody answers, talks about
//! an order.
//!
//! In a pattern, `{animal}` is a word of the list of that name, the same one in the whole text (`{animal2}` is another), `{he}` and
//! `{his2}` go with `{name}` and `{name2}`, and of `[one|two]` one is taken.

use std::path::Path;

use finetuning::util::rng::Pcg64;
use finetuning::*;

/// Most bytes of the file.
const BYTES: usize = 1_450_000;

/// The names, those of girls first.
const NAMES: [&str; 20] = [
    "Ana", "Mia", "Lena", "Ida", "Rosa", "Nora", "Clara", "Eva", "Lucy", "Julia", "Ben", "Tom", "Sam", "Paul", "Max", "Finn", "Leo",
    "Jack", "Oscar", "Noah",
];
const GIRLS: usize = 10;

/// The lists that patterns name.
const LISTS: [(&str, &str); 18] = [
    ("animal", "dog cat bird rabbit goat horse duck mouse fox bear hen frog sheep pony kitten puppy"),
    ("thing", "ball kite lamp blanket book key hat boat basket letter spoon drum box bell coat cup map clock chair shoe"),
    ("place", "garden|river|kitchen|park|market|forest|school|beach|hill|farm|lake|village|bridge|barn|shop|field|library|old house"),
    ("food", "bread|soup|an apple|cheese|rice|bacon|a carrot|an egg|cake|honey|a pear|some nuts|a fish|milk|a pie|butter"),
    ("taste", "sweet salty warm good strange fresh bitter soft"),
    ("look", "small old red quiet brown brave white big little black friendly thin"),
    ("shape", "small old red clean round blue white green big heavy black yellow shiny"),
    ("mood", "happy sad tired proud afraid glad angry hungry lonely calm"),
    ("weather", "rain snow wind storm sun fog"),
    ("when", "One morning|In the evening|On a rainy day|Last summer|After school|One night|One cold day|Early one day|In winter|One day"),
    ("family", "mother father sister brother grandmother grandfather aunt uncle friend teacher"),
    ("skill", "swim sing paint cook dance read climb sew ride whistle run fish"),
    ("job", "farmer baker doctor driver nurse painter sailor teacher cook gardener"),
    ("trouble", "did not come|is broken|is too small|is the wrong colour|came too late|has a hole|is too big|does not work"),
    ("topic", "the moon|the weather|music|cold water|long trains|big cities|the sea|old songs|cats|the stars|football|snow|tea|mice"),
    ("tool", "hammer|kettle|ladder|rope|needle|pump|brush|saw|wheel|candle|bucket|mirror|engine|battery|camera|magnet"),
    (
        "task",
        "wash a dog|bake bread|fly a kite|feed a bird|plant a tree|mend a shoe|draw a horse|make soup|clean a lamp|teach a cat to sit",
    ),
    ("town", "a small town|the north|a big city|a village|the mountains|the south|the old town"),
];

const STORIES: [&str; 24] = [
    "{when}, {name} went to the {place}. There {he} found a {shape} {thing}. \"Is this your {thing}?\" {he} asked {name2}. \"[Yes, it is my \
     {thing}|Yes, I lost it|No, but I know who lost it],\" said {name2}. {name} gave it back, and [both were|everyone was] [happy|glad].",
    "A {look} {animal} lived near the {place}. It was {mood} because it had no friend. {when}, {name} came and gave it {food}. From that day \
     on, the {animal} followed {name} everywhere.",
    "{name} and {name2} wanted to eat {food}. But {name2} had lost the {thing}. They looked [behind|under|near] the {place}, but it was not \
     there. In the end, a {look} {animal} brought it back to them. \"Thank you,\" said {name2}.",
    "The taste of {food} is {taste}, thought {name}. {His} {family} had put it on the table. {name2} came with a {shape} {thing} and sat down. \
     They ate together and talked about {topic}. It was a [good|long|quiet] day.",
    "{name} has a {animal}. The {animal} is {look} and very [clever|lazy|quick|careful]. It likes to [sleep|play|sit|run] near the {place}. When \
     {name} says \"sit\", the {animal} [sits down|runs away|looks at the sky|barks]. Then {name} laughs and gives it {food}.",
    "{when}, the {weather} was strong. {name} could not go to the {place}. So {he} stayed at home with {his} {family}. They made a {shape} {thing} \
     out of paper. \"Now I like the {weather},\" said {name}.",
    "{name} wanted to learn to {skill}. {His} {family} said, \"You must try every day.\" So {name} tried every day near the {place}. At first it \
     was hard, and {he} was {mood}. But {when2}, {he} could {skill} better than {name2}.",
    "Once there was a {look} {animal} who was afraid of the {weather}. A {animal2} said, \"Come with me to the {place}.\" They ran together and \
     sat down under a tree. There it was warm. Soon the {animal} was not afraid any more.",
    "{name} is a {job}. Every morning {he} goes to the {place} and works [until noon|all day|with {name2}]. {when}, {he} saw a {look} {animal} \
     with a {thing} in its mouth. \"That is my {thing}!\" said {name}. The {animal} gave it back for {food}.",
    "{when}, {name} lost {his} {thing}. {He} looked in the {place}, and {he} asked {his} {family}. Nobody had seen it. Then {name2} came and said, \
     \"It is on your head.\" They both laughed for a long time.",
    "There was a {shape} {thing} in the window of the shop. {name} wanted to have it, but {he} had no money. So {he} helped the {job} at the \
     {place}. After [two|three|four|five] days {he} could buy the {thing}. {He} gave it to {his} {family}, who was very [happy|proud|glad].",
    "{name} and {name2} built a boat out of [wood|paper|an old box]. They put it on the river near the {place}. The {weather} came, and the \
     boat went away. {name} was {mood}. \"We will build another one,\" said {name2}, and so they did.",
    "A {animal} and a {animal2} met near the {place}. \"I have {food},\" said the {animal}. \"I have a {thing},\" said the {animal2}. They shared \
     what they had. At night they slept under the same {shape} blanket.",
    "{when}, {name} could not sleep. {He} heard a noise from the {place}. {He} took a lamp and went outside. It was only a {look} {animal} that \
     wanted {food}. {name} gave it some and went back to bed.",
    "{name} wrote a letter to {his} {family}. \"I live in {town} now,\" {he} wrote. \"I have a {look} {animal}, and I work as a {job}. Please come \
     and see me.\" {when}, {his} {family} came with {food} and stayed for a week.",
    "It was the birthday of {name}. {name2} came with a {shape} box. In the box was a {thing}. \"How did you know that I wanted a {thing}?\" asked \
     {name}. \"Your {family} told me,\" said {name2}. Then they ate {food}.",
    "The {animal} of {name} was gone. {name} looked for it in the {place} and in the {place2}. {He} was very sad. But {when2}, it came home with \
     [two|three|four] small ones. Now {name} has many animals.",
    "{name} asked {his} {family}, \"Why is there {weather}?\" \"Because the {place} needs it,\" said {his} {family}. {name} thought about it for a \
     while. Then {he} put on a {shape} coat and went outside. The {weather} felt good.",
    "\"Who can {skill}?\" asked the teacher. \"I can,\" said {name}. \"I can too,\" said {name2}. So they went to the {place} and showed it. The \
     teacher was [proud|glad|happy], and everyone got {food}.",
    "In {town} there is a {shape} {place}. Nobody goes there at night. {when}, {name} went there with a lamp and a {animal}. {He} saw only a \
     {job} who was looking for a {thing}. After that, {name} was not afraid.",
    "{name} planted a tree near the {place}. {He} gave it water every day. The {weather} came, and the tree fell down. {name2} helped {him} to \
     put it up again. Now it is a big tree, and a {look} {animal} lives under it.",
    "{name} did not like {food}. \"It is {taste},\" {he} said. But {his} {family} put some honey on it. {name} tried it again. \"Now it is good,\" \
     {he} said, and {he} ate it all.",
    "A {look} {animal} sat on the {thing} of {name}. \"Go away,\" said {name}. The {animal} did not move. So {name} gave it {food} and waited. \
     After an hour the {animal} went to the {place}, and {name} had {his} {thing} back.",
    "{name} and {his} {family} took the train to {town}. {name} looked out of the window. {He} saw a {place}, a {look} {animal} and a man with \
     a {thing}. \"Are we there?\" {he} asked. \"Not yet,\" said {his} {family}. In the evening they were there.",
];

/// With these a list about a person begins.
const FIRST: [&str; 3] = ["What's your first name?", "What's your last name?", "How old are you?"];

const QUESTIONS: [&str; 44] = [
    "Where do you live?",
    "What is your favourite [colour|book|song|game]?",
    "What do you like to eat?",
    "Do you have a {animal}?",
    "What is the name of your {animal}?",
    "How many [brothers|sisters|friends] do you have?",
    "What do you do in the evening?",
    "What do you think of {topic}?",
    "What do you think of your {family}?",
    "Where were you born?",
    "What is your phone number?",
    "Which sport do you like?",
    "When is your birthday?",
    "How did you hear of us?",
    "Can you {skill}?",
    "Who taught you to {skill}?",
    "Do you like {food}?",
    "Why do you like {topic}?",
    "Where is your {thing}?",
    "Who gave you the {thing}?",
    "Is your {thing} {shape}?",
    "Have you ever been to {town}?",
    "Would you like to be a {job}?",
    "What does a {job} do?",
    "What does a {tool} do?",
    "What is a {tool}?",
    "How does a {tool} work?",
    "Who needs a {tool}?",
    "How long is a {tool}?",
    "Why is a {animal} {look}?",
    "What does a {animal} eat?",
    "Where does a {animal} sleep?",
    "How do I {task}?",
    "Tell me how to {task}.",
    "Tell me about {topic}.",
    "When should I {task}?",
    "Why is there {weather}?",
    "Is there {weather} in {town}?",
    "How far is it to the {place}?",
    "What can I buy in the {place}?",
    "Is the {place} open on Sunday?",
    "What is the difference between a {tool} and a {tool2}?",
    "Which is better, a {thing} or a {thing2}?",
    "How much is a {thing}?",
];

/// Turns of a talk; one of each is taken, in this order.
const TALK: [&[&str]; 7] = [
    &[
        "Agent: I am here to help you with your order.",
        "Agent: Good morning, how can I help you?",
        "Agent: Hello, this is {name}. What can I do?",
    ],
    &[
        "Customer: My {thing} {trouble}.",
        "Customer: Hello, I bought a {thing}, and it {trouble}.",
        "Customer: The {thing} {trouble}, and I am {mood}.",
    ],
    &["Agent: I am sorry to hear that. What is the number of your order?", "Agent: Oh no. Can you tell me the number of your order?"],
    &["Customer: It is {number}.", "Customer: The number is {number}.", "Customer: {number}, and my name is {name2}."],
    &[
        "Agent: Thank you. We will send you a new {thing}.",
        "Agent: Thank you. You will get your money back.",
        "Agent: Please send the {thing} back to us.",
    ],
    &["Customer: When will it come?", "Customer: How long will that take?", "Customer: What must I do now?"],
    &["Agent: In [two|three|four|five] days.\nCustomer: Thank you.", "Agent: You will get a letter from us.\nCustomer: Good. Thank you."],
];

/// The words of a list, none where there is no such list; a blank is part of a word where bars divide them.
fn list(name: &str) -> Vec<&'static str> {
    let words = LISTS.iter().find(|(list, _)| *list == name).map_or("", |(_, words)| words);
    words.split(if words.contains('|') { '|' } else { ' ' }).filter(|word| !word.is_empty()).collect()
}

/// One text in the making: what its slots stand for.
struct Writer<'a> {
    random: &'a mut Pcg64,
    chosen: Vec<(String, String)>,
}

impl<'a> Writer<'a> {
    fn new(random: &'a mut Pcg64) -> Self {
        Self { random, chosen: Vec::new() }
    }

    fn one<'b>(&mut self, of: &[&'b str]) -> &'b str {
        of[self.random.below(of.len())]
    }

    /// The word of a slot such as `animal2`.
    fn word(&mut self, slot: &str) -> String {
        if let Some((_, word)) = self.chosen.iter().find(|(name, _)| name == slot) {
            return word.clone();
        }
        let kind = slot.trim_end_matches('2');
        let taken = |writer: &Self, word: &str| writer.chosen.iter().any(|(name, is)| name.trim_end_matches('2') == kind && is == word);
        let list = if kind == "name" { NAMES.to_vec() } else { list(kind) };
        let word = loop {
            let word = match kind {
                "number" => (100 + self.random.below(900)).to_string(),
                _ if list.is_empty() => panic!("no list is called `{kind}`"),
                _ => self.one(&list).to_string(),
            };
            if !taken(self, &word) {
                break word;
            }
        };
        self.chosen.push((slot.to_string(), word.clone()));
        word
    }

    /// `he`, `His2` and the like of the person that they go with.
    fn pronoun(&mut self, slot: &str) -> Option<String> {
        let (word, second) = slot.strip_suffix('2').map_or((slot, ""), |word| (word, "2"));
        let [him, her] = match word.to_lowercase().as_str() {
            "he" => ["he", "she"],
            "his" => ["his", "her"],
            "him" => ["him", "her"],
            _ => return None,
        };
        let name = self.word(&format!("name{second}"));
        let pronoun = if NAMES[..GIRLS].contains(&name.as_str()) { her } else { him };
        let capital = word.starts_with('H');
        Some(if capital { pronoun[..1].to_uppercase() + &pronoun[1..] } else { pronoun.to_string() })
    }

    /// A pattern with its slots and choices filled.
    fn fill(&mut self, pattern: &str) -> String {
        let Some(at) = pattern.find(['{', '[']) else { return pattern.to_string() };
        let close = if pattern[at..].starts_with('{') { '}' } else { ']' };
        let end = at + pattern[at..].find(close).expect("a pattern closes what it opens");
        let inside = &pattern[at + 1..end];
        let filled = match close {
            '}' => self.pronoun(inside).unwrap_or_else(|| self.word(inside)),
            _ => {
                let option = self.one(&inside.split('|').collect::<Vec<_>>());
                self.fill(option)
            }
        };
        format!("{}{filled}{}", &pattern[..at], self.fill(&pattern[end + 1..]))
    }
}

/// `a` before a vowel is `an`; a time in the middle of a sentence has a small letter.
fn spelt(text: &str) -> String {
    let words: Vec<&str> = text.split(' ').collect();
    let vowel = |word: &&str| word.starts_with(['a', 'e', 'i', 'o', 'u']);
    let article = |(at, word): (usize, &&str)| match (*word, words.get(at + 1)) {
        ("a" | "A" | "\"A", Some(next)) if vowel(next) => format!("{word}n"),
        _ => word.to_string(),
    };
    let text = words.iter().enumerate().map(article).collect::<Vec<_>>().join(" ");
    list("when").iter().fold(text, |text, when| text.replace(&format!("But {when}"), &format!("But {}", when.to_lowercase())))
}

fn story(random: &mut Pcg64) -> String {
    let mut writer = Writer::new(random);
    let pattern = writer.one(&STORIES);
    spelt(&writer.fill(pattern))
}

/// Four to nine different questions, a line each.
fn questions(random: &mut Pcg64) -> String {
    let (count, personal) = (4 + random.below(6), random.below(10) < 4);
    let mut lines: Vec<String> = if personal { FIRST.map(String::from).to_vec() } else { Vec::new() };
    while lines.len() < count {
        let mut writer = Writer::new(random);
        let pattern = writer.one(&QUESTIONS);
        let line = spelt(&writer.fill(pattern));
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines.join("\n")
}

fn talk(random: &mut Pcg64) -> String {
    let mut writer = Writer::new(random);
    let turns = TALK.map(|turns| {
        let pattern = writer.one(turns);
        writer.fill(pattern)
    });
    spelt(&turns.join("\n"))
}

/// Pages of one kind of text each, until the file is full.
fn pages() -> Vec<String> {
    let (mut random, mut pages, mut bytes) = (Pcg64::new(18), Vec::new(), 0);
    loop {
        let (write, texts): (fn(&mut Pcg64) -> String, usize) = match random.below(100) {
            0..=63 => (story, 4),
            64..=85 => (questions, 4),
            _ => (talk, 3),
        };
        let page = (0..texts).map(|_| write(&mut random)).collect::<Vec<_>>().join("\n\n");
        bytes += serde_json::json!({ "text": page }).to_string().len() + 1;
        if bytes > BYTES {
            return pages;
        }
        pages.push(page);
    }
}

/// Writes `data/stories.jsonl`.
pub fn write_stories(root: &Path) -> Result<()> {
    let pages = pages();
    println!("{} pages, {} characters", pages.len(), pages.iter().map(String::len).sum::<usize>());
    let rows = pages.iter().map(|page| Example::new([("text", page.as_str())])).collect();
    Dataset::from_examples(rows).to_jsonl(root.join("data/stories.jsonl"))
}
