// Package socket talks to HAProxy over its runtime socket and its master socket:
// it builds commands that cannot be anything but what they were meant to be,
// sends them with a deadline, and takes the answers apart.
//
// A command is made of words by Cmd, which quotes them, or by one of the
// functions named after HAProxy's own commands; there is no way to send a string.
// That matters because a word that ends its line early, or a payload with an
// empty line, would have HAProxy execute the rest of it with the rights of an
// administrator.
//
// Answers on a runtime socket carry a severity, which is asked for at the
// beginning of each session: an answer of a severity worse than a warning is a
// *CommandError.
package socket
