package ui

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"fairway/internal/api"
	"fairway/internal/human"
)

// picture is the flow from sources to endpoints as it is drawn, in units of one
// pixel on a wide screen. It is made by layout, which is pure.
type picture struct {
	Width, Height int
	Sources       []box
	Services      []box
	Rows          []row
	Links         []curve
	// Left is how many services are not drawn.
	Left int
}

// box is a source or a service.
type box struct {
	ID, Name, Link string
	Source         string // of a service: the name of its source
	Note           string
	Health         string
	X, Y, W, H     int
}

// Mid is the middle of its height, and Base where a line of text stands.
func (b box) Mid() int { return b.Y + b.H/2 }

// row is a route with its endpoints.
type row struct {
	Route      *routeOf
	Link       string
	X, Y, W, H int
	Marks      []placed
	More       int // endpoints that are not drawn
	MoreX      int
	EndX       int
	Count      string
}

// Mid is the middle of its height.
func (r row) Mid() int { return r.Y + r.H/2 }

// placed is a mark with its place.
type placed struct {
	mark
	X, Y int
}

// curve is a line from one to the other.
type curve struct {
	Path   string
	Health string
	// Route is the ID of the route whose traffic it shows; Service that of a
	// service, for the line that leads there.
	Route, Service string
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

// maxRows is how many routes are drawn: more would be no picture.
const maxRows = 36

// layout places services, in the order in which they come, with what belongs to
// them. Services of one source are kept together.
func layout(services []*service, sources []api.Source) picture {
	p := picture{Width: pictureWidth}
	first := map[string]int{}
	for i, s := range services {
		if _, ok := first[s.Source]; !ok {
			first[s.Source] = i
		}
	}
	services = slices.Clone(services)
	slices.SortStableFunc(services, func(a, b *service) int { return cmp.Compare(first[a.Source], first[b.Source]) })
	y, rows := 1, 0
	spans := map[string][2]int{}
	drawn := 0
	for _, s := range services {
		n := max(1, len(s.Routes))
		if rows > 0 && rows+n > maxRows {
			continue
		}
		n = min(n, maxRows)
		top := y
		for i := range n {
			if i < len(s.Routes) {
				p.Rows = append(p.Rows, newRow(s.Routes[i], y))
			}
			y += rowHeight + rowGap
		}
		bottom := y - rowGap
		b := box{
			ID: s.ID, Name: s.Name, Link: link("services", s.ID), Source: s.Source, Health: s.Health, Note: serviceNote(s),
			X: serviceX, Y: (top+bottom)/2 - rowHeight/2, W: serviceW, H: rowHeight,
		}
		p.Services = append(p.Services, b)
		for _, r := range p.Rows[len(p.Rows)-min(n, len(s.Routes)):] {
			p.Links = append(p.Links, curve{Path: bend(b.X+b.W, b.Mid(), r.X, r.Mid()), Health: r.Route.Health, Route: r.Route.ID})
		}
		span, ok := spans[s.Source]
		if !ok {
			span = [2]int{top, bottom}
		}
		spans[s.Source] = [2]int{span[0], bottom}
		rows += n
		drawn++
		y += serviceGap - rowGap
	}
	p.Left = len(services) - drawn
	p.Height = max(y-serviceGap+1, rowHeight+2)
	p.place(sources, spans)
	return p
}

// serviceNote is the second line of a service.
func serviceNote(s *service) string {
	note := fmt.Sprintf("%d of %d ready", s.Ready, len(s.Instances))
	if len(s.Instances) == 0 {
		note = "no instance"
	}
	if n := len(s.Problems); n > 0 {
		note += " · " + human.Plural(n, "problem")
	}
	return note
}

func newRow(r *routeOf, y int) row {
	out := row{Route: r, Link: link("services", r.Service), X: routeX, Y: y, W: routeW, H: rowHeight, EndX: endX}
	for i, m := range r.Marks {
		if i == maxMarks && len(r.Marks) > maxMarks {
			out.More, out.MoreX = len(r.Marks)-maxMarks, endX+maxMarks*markStep+10
			break
		}
		out.Marks = append(out.Marks, placed{m, endX + 8 + i*markStep, y + rowHeight/2 - 7})
	}
	out.Count = fmt.Sprintf("%d of %d ready", out.Route.Ready, len(r.Marks))
	switch {
	case r.Refused != "":
		out.Count = "refused"
	case r.Backend == nil:
		out.Count = "answers by itself"
	case len(r.Marks) == 0:
		out.Count = "no endpoint"
	}
	return out
}

// place draws the sources beside their services, in the order of these; those of
// which nothing is drawn come last.
func (p *picture) place(sources []api.Source, spans map[string][2]int) {
	top := func(s api.Source) int {
		if span, ok := spans[s.Name]; ok {
			return span[0]
		}
		return math.MaxInt
	}
	sources = slices.Clone(sources)
	slices.SortStableFunc(sources, func(a, b api.Source) int { return cmp.Compare(top(a), top(b)) })
	y := 1
	for _, s := range sources {
		b := box{ID: s.Name, Name: s.Name, Health: sourceHealth(s), Note: human.Plural(s.Services, "service"), X: sourceX, W: sourceW, H: rowHeight}
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
		if i := slices.IndexFunc(p.Sources, func(b box) bool { return b.ID == svc.Source }); i >= 0 {
			b := p.Sources[i]
			p.Links = append(p.Links, curve{Path: bend(b.X+b.W, b.Mid(), svc.X, svc.Mid()), Health: b.Health, Service: svc.ID})
		}
	}
	for _, r := range p.Rows {
		if len(r.Marks) > 0 {
			p.Links = append(p.Links, curve{Path: bend(r.X+r.W, r.Mid(), endX, r.Mid()), Health: r.Route.Health, Route: r.Route.ID})
		}
	}
}

// sourceHealth is the condition of a source.
func sourceHealth(s api.Source) string {
	switch {
	case s.State == api.SourceStale:
		return broken
	case s.State == api.SourceWaiting || len(s.Held) > 0:
		return waiting
	}
	return fine
}

// bend is a curve from one point to another further right.
func bend(x1, y1, x2, y2 int) string {
	if y1 == y2 {
		return fmt.Sprintf("M%d %dH%d", x1, y1, x2)
	}
	mid := (x1 + x2) / 2
	return fmt.Sprintf("M%d %dC%d %d %d %d %d %d", x1, y1, mid, y1, mid, y2, x2, y2)
}
