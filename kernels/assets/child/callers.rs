mod evcxr_callers {
    use ::std::panic::Location;
    pub struct All(::std::vec::Vec<&'static Location<'static>>);
    const NONE: All = All(::std::vec::Vec::new());
    impl ::std::ops::Not for All {
        type Output = All;
        #[track_caller]
        fn not(mut self) -> All {
            self.0.push(Location::caller());
            self
        }
    }
    pub fn in_cell(found: &'static Location<'static>) -> &'static Location<'static> {
        let compiled: ::std::vec::Vec<(u32, u32)> = ::std::vec![COMPILED];
        let place = compiled.iter().position(|place| *place == (found.line(), found.column()));
        let lists: ::std::vec::Vec<All> = ::std::vec![LISTS];
        let cells = lists.into_iter().flat_map(|list| list.0.into_iter().rev());
        place.filter(|_| found.file() == "src/lib.rs").and_then(|place| cells.skip(place).next()).unwrap_or(found)
    }
}
