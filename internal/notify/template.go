package notify

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"text/template"
	"time"
)

// texts are the templates of a channel; nil for the usual form.
type texts struct {
	title, body *template.Template
}

const (
	mailTitle = `[{{.From}}] {{.Text}}`
	mailBody  = `{{.Text}}

{{if .Events}}{{range .Events}}{{.At}}  {{.Text}}
{{end}}{{else}}when: {{.At}}
what: {{.Kind}}
subject: {{.Subject}}
{{end}}{{range $name, $value := .Details}}{{$name}}: {{$value}}
{{end}}
-- 
{{.From}}
`
	slackText = `{{if eq .Severity "bad"}}:red_circle: {{else if eq .Severity "warning"}}:warning: {{else if eq .Severity "good"}}:large_green_circle: {{end}}*{{.Text}}*
{{- range $name, $value := .Details}}
{{$name}}: {{$value}}{{end}}
{{- range .Events}}
• {{.At}} {{.Text}}{{end}}`
)

// view is what a template sees of a batch: texts, escaped for their place.
type view struct {
	// ID is that of the event, Kind what happened, Severity good, bad, warning or neutral.
	ID, Kind, Severity string
	Subject, Name      string
	Text               string
	// From is the name of the Fairway that reports.
	From string
	// At is RFC 3339 in UTC.
	At      string
	Details map[string]string
	// Events are the single events of a summary; none otherwise.
	Events []view
}

// viewOf makes the view of a batch.
func viewOf(p *batch, escape func(string) string) view {
	v := eventView(p.summary(), p.from, escape)
	if len(p.events) > 1 {
		for _, e := range p.events {
			v.Events = append(v.Events, eventView(e, p.from, escape))
		}
	}
	return v
}

func eventView(e Event, from string, escape func(string) string) view {
	v := view{
		ID: escape(e.ID), Kind: escape(string(e.Kind)), Severity: string(e.Kind.Severity()), Subject: escape(e.Subject), Name: escape(e.Name),
		Text: escape(e.Text), From: escape(clean(from, maxName)), At: e.At.Format(time.RFC3339), Details: map[string]string{},
	}
	for name, value := range e.Details {
		v.Details[escape(name)] = escape(value)
	}
	return v
}

// parseTemplates parses the templates of a channel, and tries them.
func parseTemplates(c Channel) (t texts, err error) {
	title, body := c.Title, c.Body
	switch c.Kind {
	case KindMail:
		title, body = cmp.Or(title, mailTitle), cmp.Or(body, mailBody)
	case KindSlack:
		body = cmp.Or(body, slackText)
	}
	if t.title, err = parseTemplate("title", title); err != nil {
		return t, err
	}
	t.body, err = parseTemplate("body", body)
	return t, err
}

func parseTemplate(field, text string) (*template.Template, error) {
	if text == "" {
		return nil, nil
	}
	parsed, err := template.New(field).Option("missingkey=zero").Parse(text)
	if err == nil {
		_, err = render(parsed, &batch{events: []Event{{Kind: Test, Details: map[string]string{"a": "b"}}}}, plainText)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	return parsed, nil
}

// render executes a template on a batch.
func render(t *template.Template, p *batch, escape func(string) string) (string, error) {
	var b strings.Builder
	if err := t.Execute(&b, viewOf(p, escape)); err != nil {
		return "", err
	}
	return b.String(), nil
}

// plainText leaves a text as it is: it is clean already.
func plainText(s string) string { return s }

// jsonText escapes a text for the inside of a JSON string.
func jsonText(s string) string {
	quoted, err := json.Marshal(s) // which never fails for a string
	if err != nil {
		return ""
	}
	return string(quoted[1 : len(quoted)-1])
}

// slackEscape keeps a text from becoming markup, a link or a call to everybody.
func slackEscape(s string) string {
	const nothing = "\u200b" // a space without width
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "@", "@"+nothing, "](", "]"+nothing+"(",
		"*", "*"+nothing, "_", "_"+nothing, "`", "'", "~", "~"+nothing).Replace(s)
}
