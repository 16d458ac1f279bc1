// Package demo shows Fairway at work on a machine that has nothing prepared:
// it starts a few labelled services, runs the whole program in-process in front
// of them, makes requests while they come, grow and go, and leaves nothing
// behind. With a Docker Engine the services are containers of an image that is
// built from scratch around this very program; without one they are processes
// and a services file.
//
// Whoami, the service that is shown, is also what the end-to-end tests run.
package demo
