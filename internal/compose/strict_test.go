package compose

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/schema"
)

func TestUnknown(t *testing.T) {
	problems := Unknown("c.yml", root(t, `
x-common: &common {restart: always, helthcheck: {}}
services:
  web:
    <<: *common
    image: shop
    ports: [{target: 80, publishd: 8080}, "9000"]
    depends_on: [db]
    environment: {anything: goes}
    labels: {fairway.host: x}
    external_link: []
    build: .
  db:
    deploy: {replicas: 1, resources: {limits: {memory: 1g, cpu: 1}}, x-mine: 1}
    ulimits: {nofile: 10, nproc: {soft: 1, hard: 2}}
volumes: {data: {external: {name: x}}, other: }
network: {}
`))
	var lines []string
	for _, p := range problems {
		lines = append(lines, fmt.Sprintf("%d %s, %s", p.Line, p.Text, p.Hint))
	}
	want := []string{
		"7 Compose knows no key publishd here, did you mean published?",
		"11 Compose knows no key external_link here, did you mean external_links?",
		"2 Compose knows no key helthcheck here, did you mean healthcheck?",
		"14 Compose knows no key cpu here, did you mean cpus?",
		"17 Compose knows no key network here, did you mean networks?",
	}
	if got := strings.Join(lines, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s", got)
	}
}

// Every key that the schema of Compose has is known.
func TestSchemaIsKnown(t *testing.T) {
	var s struct {
		Properties map[string]any `json:"properties"`
		Defs       map[string]struct {
			Properties map[string]any `json:"properties"`
		} `json:"$defs"`
	}
	if err := json.Unmarshal([]byte(schema.Schema), &s); err != nil {
		t.Fatal(err)
	}
	for key := range s.Properties {
		if p := Unknown("c", root(t, key+": ")); len(p) > 0 {
			t.Errorf("%+v", p)
		}
	}
	keys := 0
	for _, def := range []string{"service", "container_spec", "workload_spec"} {
		for key := range s.Defs[def].Properties {
			keys++
			if p := Unknown("c", root(t, "services: {a: {"+key+": }}")); len(p) > 0 {
				t.Errorf("%+v", p)
			}
		}
	}
	if keys < 50 {
		t.Errorf("the schema has another form: %d keys", keys)
	}
}

// A variable that must have a value is reported with its line, wherever it is (case 4).
func TestInterpolated(t *testing.T) {
	got := Interpolated("c.yml", root(t, "services:\n  web:\n    image: shop:${TAG:?need tag}\n    command: echo $$x ${Y:-1}\n"), Variables{})
	if len(got) != 1 || got[0].Line != 3 || !strings.Contains(got[0].Text, "need tag") {
		t.Errorf("%+v", got)
	}
}
