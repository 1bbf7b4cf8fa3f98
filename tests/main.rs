//! The course from outside, a folder a room: fixtures of the Python stack, equations between two ways of computing, bad input, learning.

mod house;
mod border;
mod compute;
mod nn;
mod models;
mod formats;
mod data;
mod tokenizer;
mod quality;
mod hub;
mod generate;
mod train;
mod lora;
mod pretrained;
mod evaluate;
mod serve;
mod hosted;
mod course;
mod process;

use ::support;
