//! Stories: each command's main path and its failures, against the simulated tenant through real HTTP.
