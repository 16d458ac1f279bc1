// Package e2e tests Fairway from outside: the static binary as a process, a real
// Docker Engine, real containers, and requests of which every single one is
// counted. The tests have the build tag e2e; `make e2e` runs them.
//
// They need root and a Docker Engine; without one they are skipped, and say so.
// FAIRWAY_SOAK=1 runs them at full length. Every container and network
// carries a label with the number of the run and is removed at its end; what a
// killed run has left is removed at the start of the next one.
package e2e
