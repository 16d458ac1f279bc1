// Package bench holds the benchmarks that cross packages: looking up a route,
// and one changed label on its way from a source to the engine. What needs the
// whole program or other proxies is in the command bench/measure.
package bench
