//! Files of others → what the border makes of them: limits, named kinds of damage, and inputs that nobody has seen.

mod damage;
mod fuzz;
mod limits;
mod pages;
