package errorpage

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestFormOf(t *testing.T) {
	const firefox = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
	for want, accepts := range map[Form][][]string{
		HTML: {{firefox}, {"application/json", "text/html"}},
		JSON: {{"application/json"}, {"application/json, */*"}},
		Text: {nil, {"*/*"}, {"text/plain, application/json"}, {"application/json", "text/plain"}, {"image/png"}},
	} {
		for _, accept := range accepts {
			if got := FormOf(accept); got != want {
				t.Errorf("%v: form %d, want %d", accept, got, want)
			}
		}
	}
}

// What a request or an operator says is never part of the page but as text.
func TestBodyEscapes(t *testing.T) {
	a := Answer{Status: 404, Code: "unknown-host", Text: `no route for "<script>"`, ID: `"><b>`}
	page := string(a.Body(HTML))
	for _, want := range []string{"<h1>404 Not Found</h1>", "fairway: no route for &#34;&lt;script&gt;&#34;", "&#34;&gt;&lt;b&gt;"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in %s", want, page)
		}
	}
	if strings.Contains(page, "<script>") || strings.Contains(page, "<b>") || strings.Contains(page, "http") || strings.Count(page, "\n") != 1 {
		t.Error(page)
	}
	var said map[string]string
	if err := json.Unmarshal(a.Body(JSON), &said); err != nil || said["code"] != a.Code || said["error"] != a.Text {
		t.Errorf("%v %v", said, err)
	}
	if got := string(a.Body(Text)); got != "fairway: "+a.Text+"\n" {
		t.Errorf("%q", got)
	}
	a.Code = CodeMaintenance
	if got := string(a.Body(Text)); got != a.Text+"\n" {
		t.Errorf("%q", got)
	}
	if page := string(a.Body(HTML)); !strings.Contains(page, "<h1>Down for maintenance</h1>") {
		t.Error(page)
	}
}
