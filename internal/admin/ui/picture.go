package ui

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"fairway/internal/api"
	"fairway/internal/human"
)

// picture is the flow from sources to endpoints, in pixels of a wide screen.
type picture struct {
	Width, Height int
	Sources       []box
	Services      []box
	Rows          []row
	Links         []curve
	Left          int // services that are not drawn
	rows          int
}

type box struct {
	ID, Name, Link string
	Source         string // of a service: the name of its source
	Note           string
	Health         string
	State, Why     string // of a service: its condition
	X, Y, W, H     int
}

// Mid is the middle of its height.
func (b box) Mid() int { return b.Y + b.H/2 }

type row struct {
	box
	Route       *routeOf
	Marks       []placed
	More, MoreX int // endpoints that are not drawn
	EndX        int
	Count       string
}

type placed struct {
	mark
	X, Y int
}

type curve struct {
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
	maxRows      = 36 // of routes: more would be no picture
)

// layout places services in their order, those of one source together.
func layout(services []*service, sources []api.Source) picture {
	p := picture{Width: pictureWidth}
	spans := map[string][2]int{} // top and bottom of the services of a source
	y := 1
	for _, g := range groups(services) {
		top := y
		for _, s := range g.Services {
			n := max(1, len(s.Routes))
			if y > 1 && p.rows+n > maxRows {
				continue
			}
			n = min(n, maxRows)
			p.add(s, n, y)
			y += n*(rowHeight+rowGap) - rowGap + serviceGap
		}
		if y > top {
			spans[g.Source] = [2]int{top, y - serviceGap}
		}
	}
	p.Left = len(services) - len(p.Services)
	p.Height = max(y-serviceGap+1, rowHeight+2)
	p.place(sources, spans)
	return p
}

// add draws a service with its first routes, in as many rows.
func (p *picture) add(s *service, rows, y int) {
	p.rows += rows
	b := box{
		ID: s.ID, Name: s.Name, Link: link("services", s.ID), Source: s.Source, Health: s.Health, Note: serviceNote(s),
		State: stateOf(s.Condition), Why: s.Condition.Why(),
		X: serviceX, Y: y + (rows-1)*(rowHeight+rowGap)/2, W: serviceW, H: rowHeight,
	}
	p.Services = append(p.Services, b)
	for i, r := range s.Routes[:min(rows, len(s.Routes))] {
		drawn := newRow(r, y+i*(rowHeight+rowGap))
		p.Rows = append(p.Rows, drawn)
		p.Links = append(p.Links, curve{Path: b.bend(drawn.X, drawn.Mid()), Health: r.Health, Route: r.ID})
	}
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
	out := row{Route: r, box: box{Link: link("services", r.Service), X: routeX, Y: y, W: routeW, H: rowHeight}, EndX: endX}
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

// place draws the sources beside their services; those without any come last.
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
			p.Links = append(p.Links, curve{Path: b.bend(svc.X, svc.Mid()), Health: b.Health})
		}
	}
	for _, r := range p.Rows {
		if len(r.Marks) > 0 {
			p.Links = append(p.Links, curve{Path: r.bend(endX, r.Mid()), Health: r.Route.Health, Route: r.Route.ID})
		}
	}
}

// sourceHealth is the sign of a source; what it holds back waits.
func sourceHealth(s api.Source) string {
	if len(s.Held) > 0 {
		return worse(signOf(s.Condition), waiting)
	}
	return signOf(s.Condition)
}

// bend is a curve from its right side to a point further right.
func (b box) bend(x, y int) string {
	if b.Mid() == y {
		return fmt.Sprintf("M%d %dH%d", b.X+b.W, y, x)
	}
	mid := (b.X + b.W + x) / 2
	return fmt.Sprintf("M%d %dC%d %d %d %d %d %d", b.X+b.W, b.Mid(), mid, b.Mid(), mid, y, x, y)
}
