package compile

import (
	"fairway/internal/catalog"
	"fairway/internal/compile/dockerflow"
	"fairway/internal/route"
)

// ShownLabels returns the function by which the value of a label is shown, logged,
// recorded and sent: route.Masked stands in the place of what may not be shown. Nothing
// is shown of a label that belongs to no dialect. Any goroutine may call the function.
func ShownLabels() func(key, value string) string {
	all := Settings{DockerFlow: &dockerflow.Options{}}.dialects()
	return func(key, value string) string {
		for _, d := range all {
			if catalog.HasPrefix(key, d.Prefix()) {
				return d.Shown(key, value)
			}
		}
		return route.Masked
	}
}
