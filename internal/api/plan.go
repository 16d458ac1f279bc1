package api

import "context"

// PlanRequest asks what a change would do, before it is made. Files and the
// changes after them are taken together.
type PlanRequest struct {
	// Files are Compose or stack files, or services files, distinguished by what is
	// in them. Later ones override earlier ones.
	Files []PlanFile `json:"files,omitempty"`
	// Variables are what the files may ask the environment for.
	Variables map[string]string `json:"variables,omitempty"`
	// Project is the name of the Compose project or the stack; empty means the
	// name in the file.
	Project string `json:"project,omitempty"`
	// Source is the name of the source that would see it; empty means the one that
	// fits, where there is only one.
	Source string `json:"source,omitempty"`
	// Stack says that the files are deployed as a stack of a Swarm; where only
	// Swarms are watched that goes without saying.
	Stack bool `json:"stack,omitempty"`
	// Prune removes the services of the project that the files do not name.
	Prune bool `json:"prune,omitempty"`
	// Labels are changes of single labels.
	Labels []PlanLabel `json:"labels,omitempty"`
	// Remove are services or instances that would be gone, named as for commands.
	Remove []string `json:"remove,omitempty"`
}

// PlanFile is a file by its path, which stands in messages and is not opened.
type PlanFile struct {
	Path string `json:"path"`
	Text string `json:"text"`
}

// PlanLabel is a label that would have another value.
type PlanLabel struct {
	// Subject is a service or an instance, named as for commands.
	Subject string `json:"subject"`
	Label   string `json:"label"`
	Value   string `json:"value,omitempty"`
	// Remove takes the label off.
	Remove bool `json:"remove,omitempty"`
}

// Plan is what a change would do to what the labels ask for now. The addresses of
// instances that do not exist yet are not known; of endpoints it says how many
// there would be.
type Plan struct {
	// Changes is true when something would be served in another way, or a problem
	// would come or go.
	Changes bool `json:"changes"`
	// Summary says in one sentence how much would change.
	Summary string `json:"summary"`
	// The lists are sorted by ID.
	Listeners []DiffChange `json:"listeners"`
	Routes    []DiffChange `json:"routes"`
	Backends  []DiffChange `json:"backends"`
	// Names are the host names that would be served, or not any more.
	Names []DiffChange `json:"names"`
	// Problems are those that would come, sorted as problems are, and Solved those
	// that would go.
	Problems []PlanProblem `json:"problems"`
	Solved   []Problem     `json:"solved"`
	// Lines are those of the engine's own configuration that would come and go,
	// in the form of a unified diff; left out where it has none.
	Lines []string `json:"lines,omitempty"`
	// Remarks say what is not in the plan.
	Remarks []string `json:"remarks"`
}

// PlanProblem is a problem with the place that it comes from.
type PlanProblem struct {
	Problem
	// File is the path of a file, and Line the line in it; left out where they are
	// not known.
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
}

// Plan says what a change would do. It changes nothing.
func (c *Client) Plan(ctx context.Context, r PlanRequest) (Plan, error) {
	return post[Plan](ctx, c, "/v1/plan", r)
}
