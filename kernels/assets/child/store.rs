//! The variables between two cells, in the place of evcxr's own store: the same calls, each with a key of the type.
//!
//! Compiled into every cell that keeps variables. A value is found again only by its type and its key, so a value of a type
//! that was changed is lost, and never read as the new one.

pub const VARIABLE_CHANGED_TYPE: &str = "EVCXR_VARIABLE_CHANGED_TYPE:";
pub const USER_ERROR_OCCURRED: &str = "EVCXR_ERROR_OCCURRED";

struct Kept<T, const KEY: u64>(T);

pub struct VariableStore {
    variables: std::collections::HashMap<String, Box<dyn std::any::Any + 'static>>,
}

impl VariableStore {
    pub fn new() -> VariableStore {
        VariableStore { variables: std::collections::HashMap::new() }
    }

    pub fn put_variable<T: 'static, const KEY: u64>(&mut self, name: &str, value: T) {
        let value = Box::new(Kept::<T, KEY>(value));
        crate::evcxr_show::stores(true);
        self.variables.insert(name.to_owned(), value);
        crate::evcxr_show::stores(false);
    }

    pub fn check_variable<T: 'static, const KEY: u64>(&mut self, name: &str) -> bool {
        let kept = self.variables.get(name);
        let same = kept.is_some_and(|value| value.is::<Kept<T, KEY>>());
        if kept.is_some() && !same {
            ::std::eprintln!("`{name}` is lost: its type, or a type inside it, was changed since it was made");
        }
        if !same {
            crate::evcxr_show::mark("T", &::std::format!("{VARIABLE_CHANGED_TYPE}{name}"));
        }
        same
    }

    pub fn take_variable<T: 'static, const KEY: u64>(&mut self, name: &str) -> T {
        crate::evcxr_show::stores(true);
        let kept = self.variables.remove(name);
        crate::evcxr_show::stores(false);
        match kept.map(|value| value.downcast::<Kept<T, KEY>>()) {
            Some(Ok(value)) => value.0,
            Some(_) => ::std::panic!("Variable changed type"),
            None => ::std::panic!("Variable '{name}' has gone missing"),
        }
    }

    pub fn lazy_arc<T: 'static, F: FnOnce() -> T>(&mut self, name: &str, create: F) -> std::sync::Arc<T> {
        let name = ::std::format!("{name} {:?} {}", std::any::TypeId::of::<T>(), crate::evcxr_show::stopped());
        let kept = self.variables.entry(name).or_insert_with(|| Box::new(std::sync::Arc::new(create())));
        match kept.downcast_ref::<std::sync::Arc<T>>() {
            Some(value) => std::sync::Arc::clone(value),
            None => ::std::panic!("a TypeId stands for two types"),
        }
    }

    pub fn merge(&mut self, mut other: VariableStore) {
        self.variables.extend(other.variables.drain());
    }
}

pub fn create_variable_store() -> *mut VariableStore {
    Box::into_raw(Box::new(VariableStore::new()))
}
