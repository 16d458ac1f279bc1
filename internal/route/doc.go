// Package route holds what is to be served: the Table of listeners, routes and
// backends that the compiler makes and the engines apply. The package match says which
// route a request takes, and why.
//
// A table is immutable and sorted: equal tables have equal bytes and hashes. Routes and
// backends that did not change between two tables are the same pointer, so that an
// engine can keep what it made of them.
//
// # Requests
//
// Routes see requests in one canonical form, which canonical.Host and canonical.ReadPath make;
// what they refuse is answered with 400. The same form goes to the backend, but for
// the slashes of the path. A path that the backend could read in another way has to
// belong to the same route by both readings (match.Matcher.TakesBoth). A match.Matcher finds the
// route, and says why it is this one and not another.
//
// # Text
//
// Everything here has a canonical text, one thing per line:
//
//	route shop@docker
//	  service shop@docker
//	  match host shop.example.com, path /demo, method GET | POST
//	  claim 3
//	  filter strip-prefix /demo
//	  backend shop@docker
//	  from docker shop-1
//
// An element begins with its kind and ID; the lines in it are indented. Fields
// that are zero are left out. A value of harmless characters (letters, digits
// and -._~/:@*+=%$!&;[]) stands plainly, every other one in the quotes of Go
// syntax: no value can look like something else, break a line or reach the
// terminal. Expressions are always quoted. Alternatives are separated by "|".
//
// Elements with equal text are equal: digests and the table's hash are made from it.
// Labels are not in it, for they change nothing that is served. It holds secrets; what
// logs, diffs and people get is String, the same without them (see redact.go).
package route
