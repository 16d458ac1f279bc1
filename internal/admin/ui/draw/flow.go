// Package draw lays out the pictures of the pages: the flow from sources to endpoints,
// and plots of readings over time. It places and measures; templates make SVG of it.
package draw

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"fairway/internal/api"
)

// Source is where services come from, with its sign and a second line.
type Source struct{ Name, Health, Note string }

// Service is a service with its routes in their order.
type Service struct {
	ID, Name, Link     string
	Source             string // the name of its source
	Note               string // its second line
	Health, State, Why string // its sign, its condition in a word, and why
	Routes             []Route
}

// Route is a route with the marks of its endpoints.
type Route struct {
	ID, Address string
	Name, Link  string // of its service
	Note        string // its second line
	Count       string // what is said of its endpoints
	Health      string
	api.Condition
	Marks []Mark
}

// Mark is the sign for an endpoint or instance.
type Mark struct {
	ID, Backend string // what it is the sign of; Backend is set for endpoints
	Health      string
	Text        string // what is known, for a tooltip and for those who do not see it
}

// Flow is the flow from sources to endpoints, in pixels of a wide screen.
type Flow struct {
	Width, Height int
	Sources       []Box
	Services      []Box
	Rows          []Row
	Links         []Curve
	Left          int // services that are not drawn
	rows          int
}

// Box is a source or a service with its place.
type Box struct {
	ID, Name, Link string
	Source         string // of a service: the name of its source
	Note           string
	Health         string
	State, Why     string // of a service: its condition
	X, Y, W, H     int
}

// Mid is the middle of its height.
func (b Box) Mid() int { return b.Y + b.H/2 }

// Row is a route with its place.
type Row struct {
	Box
	Route       Route
	Marks       []Placed
	More, MoreX int // endpoints that are not drawn
	EndX        int
}

// Placed is a mark with its place.
type Placed struct {
	Mark
	X, Y int
}

// Curve is a line between two boxes.
type Curve struct {
	Path   string
	Health string
	Route  string // ID of the route whose traffic it shows; empty for none
}

// The measures of the picture.
const (
	pictureWidth = 1160
	rowHeight    = 46
	rowGap       = 6
	serviceGap   = 16
	sourceX      = 0
	sourceW      = 172
	serviceX     = 252
	serviceW     = 226
	routeX       = 554
	routeW       = 366
	endX         = 992
	markStep     = 17
	maxMarks     = 8
)

// MaxRows is how many routes are drawn at most: more would be no picture.
const MaxRows = 36

// NewFlow places services in their order, those of one source together.
func NewFlow(services []Service, sources []Source) Flow {
	p := Flow{Width: pictureWidth}
	var names []string // of the sources, in the order of their first services
	of := map[string][]Service{}
	for _, s := range services {
		if of[s.Source] == nil {
			names = append(names, s.Source)
		}
		of[s.Source] = append(of[s.Source], s)
	}
	spans := map[string][2]int{} // top and bottom of the services of a source
	y := 1
	for _, name := range names {
		top := y
		for _, s := range of[name] {
			n := max(1, len(s.Routes))
			if y > 1 && p.rows+n > MaxRows {
				continue
			}
			n = min(n, MaxRows)
			p.add(s, n, y)
			y += n*(rowHeight+rowGap) - rowGap + serviceGap
		}
		if y > top {
			spans[name] = [2]int{top, y - serviceGap}
		}
	}
	p.Left = len(services) - len(p.Services)
	p.Height = max(y-serviceGap+1, rowHeight+2)
	p.place(sources, spans)
	return p
}

// add draws a service with its first routes, in as many rows.
func (p *Flow) add(s Service, rows, y int) {
	p.rows += rows
	b := Box{
		ID: s.ID, Name: s.Name, Link: s.Link, Source: s.Source, Health: s.Health, Note: s.Note, State: s.State, Why: s.Why,
		X: serviceX, Y: y + (rows-1)*(rowHeight+rowGap)/2, W: serviceW, H: rowHeight,
	}
	p.Services = append(p.Services, b)
	for i, r := range s.Routes[:min(rows, len(s.Routes))] {
		drawn := newRow(r, y+i*(rowHeight+rowGap))
		p.Rows = append(p.Rows, drawn)
		p.Links = append(p.Links, Curve{Path: b.bend(drawn.X, drawn.Mid()), Health: r.Health, Route: r.ID})
	}
}

func newRow(r Route, y int) Row {
	out := Row{Route: r, Box: Box{Link: r.Link, X: routeX, Y: y, W: routeW, H: rowHeight}, EndX: endX}
	for i, m := range r.Marks {
		if i == maxMarks {
			out.More, out.MoreX = len(r.Marks)-maxMarks, endX+maxMarks*markStep+10
			break
		}
		out.Marks = append(out.Marks, Placed{m, endX + 8 + i*markStep, y + rowHeight/2 - 7})
	}
	return out
}

// place draws the sources beside their services; those without any come last.
func (p *Flow) place(sources []Source, spans map[string][2]int) {
	top := func(s Source) int {
		if span, ok := spans[s.Name]; ok {
			return span[0]
		}
		return math.MaxInt
	}
	sources = slices.Clone(sources)
	slices.SortStableFunc(sources, func(a, b Source) int { return cmp.Compare(top(a), top(b)) })
	y := 1
	for _, s := range sources {
		b := Box{ID: s.Name, Name: s.Name, Health: s.Health, Note: s.Note, X: sourceX, W: sourceW, H: rowHeight}
		if span, ok := spans[s.Name]; ok {
			b.Y = max(y, (span[0]+span[1])/2-rowHeight/2)
		} else {
			b.Y = y
		}
		y = b.Y + b.H + rowGap
		p.Sources = append(p.Sources, b)
	}
	p.Height = max(p.Height, y-rowGap+1)
	for _, svc := range p.Services {
		if i := slices.IndexFunc(p.Sources, func(b Box) bool { return b.ID == svc.Source }); i >= 0 {
			b := p.Sources[i]
			p.Links = append(p.Links, Curve{Path: b.bend(svc.X, svc.Mid()), Health: b.Health})
		}
	}
	for _, r := range p.Rows {
		if len(r.Marks) > 0 {
			p.Links = append(p.Links, Curve{Path: r.bend(endX, r.Mid()), Health: r.Route.Health, Route: r.Route.ID})
		}
	}
}

// bend is a curve from its right side to a point further right.
func (b Box) bend(x, y int) string {
	if b.Mid() == y {
		return fmt.Sprintf("M%d %dH%d", b.X+b.W, y, x)
	}
	mid := (b.X + b.W + x) / 2
	return fmt.Sprintf("M%d %dC%d %d %d %d %d %d", b.X+b.W, b.Mid(), mid, b.Mid(), mid, y, x, y)
}
