package plan

import (
	"go.yaml.in/yaml/v4"

	"fairway/internal/api"
	"fairway/internal/compose"
	"fairway/internal/files"
	"fairway/internal/yamlnode"
)

// maxBytes is the largest file that is read.
const maxBytes = 1 << 20

// The kinds of document.
const (
	kindConfiguration = "configuration"
	kindServices      = "services"
	kindCompose       = "compose"
	kindUnreadable    = "unreadable"
)

// document is a file that was read, and what it is.
type document struct {
	path  string
	data  []byte
	kind  string
	root  *yaml.Node // of a Compose or services file
	fault Problem    // why it is unreadable
}

// parse finds out what a file is: by what "services" is in it. What has no
// services is a configuration.
func parse(path string, data []byte) document {
	d := document{path: path, data: data, kind: kindConfiguration}
	var root yaml.Node
	if err := yaml.Unmarshal(data, &root); err != nil {
		line, reason := yamlnode.Reason(err)
		d.kind, d.fault = kindUnreadable, Problem{File: path, Line: line, Code: compose.CodeForm, Text: reason}
		return d
	}
	if len(root.Content) == 0 {
		return d
	}
	services := yamlnode.Get(root.Content[0], "services")
	if services == nil {
		return d
	}
	d.root, d.kind = root.Content[0], kindServices
	if services.Kind == yaml.MappingNode {
		d.kind = kindCompose
	}
	return d
}

// read reads a file that the operator names; a pipe is one, too.
func read(path string) (document, error) {
	data, err := files.ReadStream(path, maxBytes)
	if err != nil {
		return document{}, err
	}
	return parse(path, data), nil
}

// Request reads files for a plan, with everything that only this machine knows:
// the variables that they ask for, from the environment and the file .env beside
// the first Compose file, and the name of the project, as Compose finds it.
func Request(paths []string, environ []string) (api.PlanRequest, error) {
	r := api.PlanRequest{Variables: map[string]string{}}
	vars := compose.Variables{Used: r.Variables}
	for _, path := range paths {
		d, err := read(path)
		if err != nil {
			return r, err
		}
		r.Files = append(r.Files, api.PlanFile{Path: path, Text: string(d.data)})
		if d.kind != kindCompose {
			continue // the planner says what is wrong with any other
		}
		if r.Project == "" {
			if vars.Values, err = compose.Environment(path, environ); err != nil {
				return r, err
			}
			r.Project = compose.ProjectName(path, d.root, vars)
		}
		(&compose.Project{Name: r.Project}).Add(path, d.root, vars) // notes the variables
	}
	return r, nil
}
