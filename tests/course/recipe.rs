//! The recipe of what ships: its stages that need no training write the bytes that are there.

#[path = "../../lib/examples/recipe/rows.rs"]
mod rows;
#[path = "../../lib/examples/recipe/stories.rs"]
mod stories;

use crate::support::{fresh_folder, root};

#[test]
fn stories_and_rows_are_those_of_the_recipe_byte_for_byte() {
    let (own, folder) = (root().join("notebooks"), fresh_folder());
    for name in ["recipe", "data"] {
        std::fs::create_dir(folder.join(name)).unwrap();
    }
    for name in ["facts.jsonl", "off_topic.jsonl"] {
        std::fs::copy(own.join("recipe").join(name), folder.join("recipe").join(name)).unwrap();
    }
    stories::write_stories(&folder).unwrap();
    rows::write_rows(&folder).unwrap();
    for name in ["stories.jsonl", "lab_docs.jsonl"] {
        let [ships, made] = [&own, &folder].map(|root| std::fs::read(root.join("data").join(name)).unwrap());
        assert!(ships == made, "{name} differs: run `cargo run -p finetuning --example recipe -- stories`, then `-- rows`");
    }
}
