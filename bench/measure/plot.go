package main

import (
	"fmt"
	"html"
	"os"
	"slices"
	"strings"
)

// figure is what one proxy has cost at one shape and number of routes.
type figure struct {
	shape string
	proxy string
	cpu   float64 // microseconds a request, the smallest of the rounds
}

// plot draws the figures as bars, a group for each shape: each proxy relative to base, whose
// bar is 1. Shorter is better. Shapes without base are left out.
func plot(figures []figure, proxies []string, base string) string {
	const left, width, bar, gap, most = 90, 460, 14, 14, 4.0
	of := func(shape, proxy string) (float64, bool) {
		i := slices.IndexFunc(figures, func(f figure) bool { return f.shape == shape && f.proxy == proxy })
		if i < 0 {
			return 0, false
		}
		return figures[i].cpu, true
	}
	colours := []string{"#0e6680", "#b0541b", "#7a8288", "#3c7a3a", "#8a4f9e"}
	var b strings.Builder
	y := 34
	for i, proxy := range proxies {
		fmt.Fprintf(&b, `<rect x="%d" y="8" width="10" height="10" fill="%s"/><text x="%d" y="17">%s</text>`+"\n",
			left+130*i, colours[i%len(colours)], left+130*i+15, html.EscapeString(proxy))
	}
	var shapes []string
	for _, f := range figures {
		if !slices.Contains(shapes, f.shape) {
			shapes = append(shapes, f.shape)
		}
	}
	for _, shape := range shapes {
		one, ok := of(shape, base)
		if !ok || one == 0 {
			continue
		}
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", left-8, y+bar*len(proxies)/2+4, html.EscapeString(shape))
		for i, proxy := range proxies {
			cpu, ok := of(shape, proxy)
			if !ok {
				continue
			}
			ratio := cpu / one
			fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/><text x="%.1f" y="%d">%.2f · %.1f µs</text>`+"\n",
				left, y+i*bar, min(ratio, most)/most*width, bar-2, colours[i%len(colours)], left+min(ratio, most)/most*width+5, y+i*bar+10, ratio, cpu)
		}
		y += bar*len(proxies) + gap
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="11">
<title>CPU time of a request, relative to %s: shorter is better</title>
<rect width="100%%" height="100%%" fill="#fff"/>
<line x1="%.1f" y1="26" x2="%.1f" y2="%d" stroke="#bbb"/>
%s</svg>
`, left+width+110, y, html.EscapeString(base), left+width/most, left+width/most, y-gap, b.String())
}

// writePlot writes the plot, where one is asked for.
func writePlot(path string, figures []figure, proxies []string) {
	if path == "" {
		return
	}
	base := "haproxy-equal"
	if !slices.Contains(proxies, base) {
		base = proxies[0]
	}
	check(os.WriteFile(path, []byte(plot(figures, proxies, base)), 0o644)) //nolint:gosec // a picture for everybody
}
