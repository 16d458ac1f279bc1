package spec

import (
	"cmp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"fairway/internal/compose"
	"fairway/internal/yamlnode"
)

// reader collects what is at fault.
type reader struct {
	Options
	env      map[string]string
	roots    []root
	problems []compose.Problem
	notes    []compose.Problem
}

type root struct {
	path string
	node *yaml.Node
}

func (r *reader) refuse(at compose.Position, text, hint string) {
	r.problems = append(r.problems, compose.Problem{Position: at, Code: compose.CodeForm, Text: text, Hint: hint})
}

func (r *reader) refused() error {
	order := func(file string) int { return slices.Index(r.Files, file) }
	slices.SortStableFunc(r.problems, func(a, b compose.Problem) int {
		return cmp.Or(cmp.Compare(order(a.File), order(b.File)), cmp.Compare(a.Line, b.Line))
	})
	return &RefusedError{slices.Compact(r.problems)}
}

// at returns where the last file says the end of a path of keys, or what is above it.
func (r *reader) at(keys ...string) compose.Position {
	for ; len(keys) > 0; keys = keys[:len(keys)-1] {
		for _, f := range slices.Backward(r.roots) {
			parent := yamlnode.Get(f.node, keys[:len(keys)-1]...)
			for _, e := range yamlnode.Entries(parent) {
				if e.Key.Value == keys[len(keys)-1] {
					return compose.Position{File: f.path, Line: e.Key.Line}
				}
			}
		}
	}
	return compose.Position{File: r.Files[0], Line: 1}
}

// relative reports whether a volume of a service is written as a path below the directory of
// the file or of the user.
func (r *reader) relative(service string) bool {
	for _, f := range r.roots {
		for _, item := range yamlnode.List(yamlnode.Get(f.node, "services", service, "volumes")) {
			source := item
			if s := yamlnode.Get(item, "source"); s != nil {
				source = s
			}
			if text := source.Value; strings.HasPrefix(text, ".") || strings.HasPrefix(text, "~") {
				return true
			}
		}
	}
	return false
}

// unhonoured are the keys of services that a deploy does not honour, with what to do.
var unhonoured = map[string]string{
	"extends":         "run docker compose config, and deploy what it prints",
	"links":           "put both on one network: the name of a service is a name there",
	"external_links":  "put both on one network",
	"volumes_from":    "name the volume in both",
	"credential_spec": "", "develop": "", "provider": "", "models": "", "use_api_socket": "", "gpus": "", "post_start": "", "pre_start": "", "pre_stop": "",
	"net": "write network_mode", "log_driver": "write logging", "log_opt": "write logging", "dockerfile": "", "volume_driver": "name it at the volume",
	"isolation": "", "cpu_count": "", "cpu_percent": "", "storage_opt": "", "blkio_config": "", "cpu_rt_period": "", "cpu_rt_runtime": "", "umask": "",
	"label_file": "write the labels here", "pull_refresh_after": "",
}

// add checks the form of a file.
func (r *reader) add(path string, node *yaml.Node) {
	r.roots = append(r.roots, root{path, node})
	r.problems = append(r.problems, compose.Unknown(path, node)...)
	r.problems = append(r.problems, compose.Interpolated(path, node, compose.Variables{Values: r.env})...)
	for _, e := range yamlnode.Entries(node) {
		at := compose.Position{File: path, Line: e.Key.Line}
		switch e.Key.Value {
		case "include":
			r.refuse(at, "include is not followed", "run docker compose config, and deploy what it prints")
		case "models", "jobs":
			r.refuse(at, e.Key.Value+" is not honoured by a deploy", "")
		}
	}
	for _, service := range yamlnode.Entries(yamlnode.Get(node, "services")) {
		for _, e := range yamlnode.Entries(service.Value) {
			at := compose.Position{File: path, Line: e.Key.Line}
			if hint, refused := unhonoured[e.Key.Value]; refused {
				r.refuse(at, e.Key.Value+" is not honoured by a deploy", hint)
			}
		}
		for _, labels := range []*yaml.Node{yamlnode.Get(service.Value, "labels"), yamlnode.Get(service.Value, "deploy", "labels")} {
			for _, e := range yamlnode.Entries(labels) {
				r.reserved(path, e.Key)
			}
			for _, item := range yamlnode.List(labels) {
				r.reserved(path, item)
			}
		}
	}
}

func (r *reader) reserved(path string, n *yaml.Node) {
	if strings.HasPrefix(n.Value, "fairway-deploy.") {
		key, _, _ := strings.Cut(n.Value, "=")
		r.refuse(compose.Position{File: path, Line: n.Line}, "label "+key+" is Fairway's own", "leave it out: a deploy writes it")
	}
}
