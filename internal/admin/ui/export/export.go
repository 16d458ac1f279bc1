// Package export writes the list of a page as a file that others can read.
package export

import (
	"io"
	"net/http"

	"fairway/internal/admin/ui/listing"
	"fairway/internal/console"
	"fairway/internal/printer"
)

// List is all that a list has after search and filter, on whichever page of it.
type List struct {
	items any // as the API has them
	print func(*printer.Printer)
}

// Of makes a List of what a page shows: as makes of it what the API has, and print prints that
// as commands do.
func Of[T, A any](l []T, as func(T) A, print func(*printer.Printer, []A)) List {
	items := make([]A, len(l))
	for i, item := range l {
		items[i] = as(item)
	}
	return List{items, func(p *printer.Printer) { print(p, items) }}
}

// Same is for what a page shows as the API has it.
func Same[T any](item T) T { return item }

// Formats are those of Send.
func Formats() []string { return []string{"csv", "json"} }

// Send answers with the list as a file of a name without ending, in one of Formats.
func (l List) Send(w http.ResponseWriter, name, format string) {
	listing.Send(w, name, format, l.items, func(w io.Writer) {
		l.print(&printer.Printer{Console: &console.Console{Out: w, Err: w, Format: "csv"}})
	})
}
