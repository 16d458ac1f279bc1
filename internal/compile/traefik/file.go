package traefik

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"fairway/internal/catalog"
)

// maxFileLabels bounds what a file may define.
const maxFileLabels = 10_000

// ReadFile makes labels of the middlewares of a file of Traefik's file provider, in YAML: the
// same keys as on a container. Nothing else of it is read.
func ReadFile(data []byte) (map[string]string, error) {
	var root struct {
		HTTP struct {
			Middlewares map[string]any `yaml:"middlewares"`
		} `yaml:"http"`
		TCP struct {
			Middlewares map[string]any `yaml:"middlewares"`
		} `yaml:"tcp"`
	}
	if err := yaml.Unmarshal(data, &root); err != nil {
		return nil, fmt.Errorf("it is no YAML: %w", err)
	}
	labels := map[string]string{}
	for protocol, list := range map[string]map[string]any{"http": root.HTTP.Middlewares, "tcp": root.TCP.Middlewares} {
		for name, settings := range list {
			if strings.Contains(name, ".") {
				return nil, fmt.Errorf("the name %q has a dot in it", name)
			}
			if err := flatten(labels, catalog.TraefikPrefix+protocol+".middlewares."+name, settings); err != nil {
				return nil, err
			}
		}
	}
	return labels, nil
}

// flatten writes a value as labels have it.
func flatten(into map[string]string, key string, value any) error {
	if len(into) > maxFileLabels || len(key) > 1000 {
		return fmt.Errorf("it defines more than %d settings, or nests them too deep", maxFileLabels)
	}
	switch v := value.(type) {
	case map[string]any:
		if len(v) == 0 {
			into[key] = "true" // "compress: {}"
		}
		for name, below := range v {
			if err := flatten(into, key+"."+name, below); err != nil {
				return err
			}
		}
	case []any:
		texts := make([]string, len(v))
		for i, item := range v {
			if below, ok := item.(map[string]any); ok {
				if err := flatten(into, key+"["+strconv.Itoa(i)+"]", below); err != nil {
					return err
				}
				continue
			}
			texts[i] = fmt.Sprint(item)
		}
		into[key] = strings.Join(texts, ",")
	case nil:
		into[key] = "true"
	default:
		into[key] = fmt.Sprint(v)
	}
	return nil
}
