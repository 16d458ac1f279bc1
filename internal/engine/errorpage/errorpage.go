// Package errorpage writes the bodies of the answers that Fairway itself gives, the same
// for every engine: a page for browsers, JSON for programs that ask for it, and else a
// line of text.
package errorpage

import (
	"encoding/json"
	"html"
	"net/http"
	"strconv"
	"strings"
)

// Form is what a client gets.
type Form int

// The forms of a body.
const (
	Text Form = iota // a line, the zero value
	JSON
	HTML
)

// FormOf is what a client wants by the values of its header Accept: a page when it names
// HTML, JSON when it names that and no text, else text.
func FormOf(accept []string) Form {
	all := strings.Join(accept, ",")
	switch {
	case strings.Contains(all, "text/html"):
		return HTML
	case strings.Contains(all, "application/json") && !strings.Contains(all, "text/"):
		return JSON
	}
	return Text
}

// Type is the content type of a form.
func (f Form) Type() string {
	switch f {
	case JSON:
		return "application/json"
	case HTML:
		return "text/html; charset=utf-8"
	}
	return "text/plain; charset=utf-8"
}

// CodeMaintenance is the code of an answer for a service in maintenance.
const CodeMaintenance = "maintenance"

// Answer is what is wrong.
type Answer struct {
	Status int
	Code   string // as X-Fairway-Error has it
	Text   string // one sentence for people, without secrets
	ID     string // of the request; empty for none
}

// Body writes the answer in a form.
func (a Answer) Body(f Form) []byte {
	switch f {
	case JSON:
		body, _ := json.Marshal(map[string]string{"code": a.Code, "error": a.Text}) // strings always encode
		return append(body, '\n')
	case HTML:
		return []byte(Head + Title(a.Status, a.Code) + html.EscapeString(a.said()) + Foot + html.EscapeString(a.ID) + Tail)
	}
	return []byte(a.said() + "\n")
}

// said is the sentence with who says it; of a service in maintenance its operator does.
func (a Answer) said() string {
	if a.Code == CodeMaintenance {
		return a.Text
	}
	return Said + a.Text
}

// Said begins the sentence of an answer.
const Said = "fairway: "

// The page is Head, Title, the escaped sentence, Foot, the ID of the request, and Tail. No
// part has a line break: engines keep them in files of lines.
const (
	Head = `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><meta name="robots" content="noindex">` +
		`<style>:root{color-scheme:light dark}body{margin:0;min-height:100vh;display:grid;place-items:center;font:16px/1.5 system-ui,sans-serif;background:Canvas;color:CanvasText}` +
		`main{max-width:36rem;padding:2rem}h1{font-size:1.5rem;margin:0 0 .5rem}p{margin:0 0 1rem;overflow-wrap:anywhere}small{opacity:.7}</style>`
	Foot = `</p><p><small>`
	Tail = `</small></p></main></html>` + "\n"
)

// Title is the part of the page that names the status.
func Title(status int, code string) string {
	title := strconv.Itoa(status) + " " + http.StatusText(status)
	if code == CodeMaintenance {
		title = "Down for maintenance"
	}
	return `<title>` + title + `</title><main><h1>` + title + `</h1><p>`
}
