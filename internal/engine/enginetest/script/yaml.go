package script

import (
	"bytes"
	"encoding/json"
	"time"

	"go.yaml.in/yaml/v4"
)

// Decode reads YAML by the JSON names of v; unknown keys are errors.
func Decode(text string, v any) error {
	var tree any
	if err := yaml.Unmarshal([]byte(text), &tree); err != nil {
		return err
	}
	if tree == nil {
		tree = map[string]any{}
	}
	plain, err := json.Marshal(plainTree(tree))
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(plain))
	d.DisallowUnknownFields()
	return d.Decode(v)
}

// plainTree turns what YAML makes into what JSON takes, and times into
// nanoseconds.
func plainTree(tree any) any {
	switch v := tree.(type) {
	case map[string]any:
		for key, value := range v {
			v[key] = plainTree(value)
			text, isText := value.(string)
			switch key {
			case "hold", "timeout", "idle", "per", "interval", "slowStart", "bodyTimeout":
				if d, err := time.ParseDuration(text); isText && err == nil {
					v[key] = d.Nanoseconds()
				}
			}
		}
	case []any:
		for i := range v {
			v[i] = plainTree(v[i])
		}
	}
	return tree
}
