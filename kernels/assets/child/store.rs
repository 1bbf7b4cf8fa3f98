//! The variables between two cells, in the place of evcxr's own store: the same calls, each with a key of the type.
//!
//! Compiled into every cell that keeps variables, so it is made of what is quickly compiled: a list, whose names are compared one
//! after the other. A value is found again only by its type and its key, so a value of a type that was changed is lost, and
//! never read as the new one.

pub const VARIABLE_CHANGED_TYPE: &str = "EVCXR_VARIABLE_CHANGED_TYPE:";
pub const USER_ERROR_OCCURRED: &str = "EVCXR_ERROR_OCCURRED";

struct Kept<T, const KEY: u64>(T);

type Value = Box<dyn std::any::Any + 'static>;

pub struct VariableStore {
    first: Option<Box<Variable>>,
}

struct Variable {
    name: Box<str>,
    value: Value,
    next: Option<Box<Variable>>,
}

impl VariableStore {
    pub fn new() -> VariableStore {
        VariableStore { first: None }
    }

    fn find(&self, name: &str) -> Option<&Value> {
        let mut next = &self.first;
        while let Some(variable) = next {
            if *variable.name == *name {
                return Some(&variable.value);
            }
            next = &variable.next;
        }
        None
    }

    fn remove(&mut self, name: &str) -> Option<Value> {
        let mut next = &mut self.first;
        while next.as_ref()?.name[..] != *name {
            next = &mut next.as_mut()?.next;
        }
        let variable = *next.take()?;
        *next = variable.next;
        Some(variable.value)
    }

    fn insert(&mut self, name: &str, value: Value) {
        self.remove(name);
        self.first = Some(Box::new(Variable { name: name.into(), value, next: self.first.take() }));
    }

    pub fn put_variable<T: 'static, const KEY: u64>(&mut self, name: &str, value: T) {
        let value = Box::new(Kept::<T, KEY>(value));
        crate::evcxr_show::stores(true);
        self.insert(name, value);
        crate::evcxr_show::stores(false);
    }

    pub fn check_variable<T: 'static, const KEY: u64>(&mut self, name: &str) -> bool {
        let kept = self.find(name);
        let same = kept.is_some_and(|value| value.is::<Kept<T, KEY>>());
        if !same {
            changed(name, kept.is_some());
        }
        same
    }

    pub fn take_variable<T: 'static, const KEY: u64>(&mut self, name: &str) -> T {
        crate::evcxr_show::stores(true);
        let kept = self.remove(name);
        crate::evcxr_show::stores(false);
        match kept.map(|value| value.downcast::<Kept<T, KEY>>()) {
            Some(Ok(value)) => value.0,
            Some(_) => ::std::panic!("Variable changed type"),
            None => ::std::panic!("Variable '{name}' has gone missing"),
        }
    }

    pub fn lazy_arc<T: 'static, F: FnOnce() -> T>(&mut self, name: &str, create: F) -> std::sync::Arc<T> {
        let name = ::std::format!("{name} {:?} {}", std::any::TypeId::of::<T>(), crate::evcxr_show::stopped());
        if self.find(&name).is_none() {
            self.insert(&name, Box::new(std::sync::Arc::new(create())));
        }
        match self.find(&name).and_then(|value| value.downcast_ref::<std::sync::Arc<T>>()) {
            Some(value) => std::sync::Arc::clone(value),
            None => ::std::panic!("a TypeId stands for two types"),
        }
    }

    pub fn merge(&mut self, mut other: VariableStore) {
        while let Some(variable) = other.first.take() {
            self.insert(&variable.name, variable.value);
            other.first = variable.next;
        }
    }
}

fn changed(name: &str, was_there: bool) {
    if was_there {
        ::std::eprintln!("`{name}` is lost: its type, or a type inside it, was changed since it was made");
    }
    crate::evcxr_show::mark("T", &::std::format!("{VARIABLE_CHANGED_TYPE}{name}"));
}

pub fn create_variable_store() -> *mut VariableStore {
    Box::into_raw(Box::new(VariableStore::new()))
}
