// Package printer writes what the admin API answers for people: tables, details, colours
// of states.
package printer

import "fairway/internal/console"

// Printer prints answers. Its methods are for one goroutine. The zero value has nowhere to.
type Printer struct{ *console.Console }
