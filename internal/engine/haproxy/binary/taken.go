package binary

import (
	"context"
)

// TakenOptions say what is asked of Taken.
type TakenOptions struct {
	// Wanted is what shall be bound.
	Wanted []Bind
	// Held is what the running HAProxy binds already, from its configuration.
	// Empty when none runs.
	Held []Bind
	// Pids are the processes of the running HAProxy (master and workers): what
	// they hold is theirs. Empty when none runs.
	Pids []int
}

// Conflict is an address that HAProxy would not be able to bind.
type Conflict struct {
	Bind Bind
	// Reason is in words: who has it, as far as can be seen, or what else
	// hinders.
	Reason string
}

// Taken reports which of the wanted addresses HAProxy could not bind now, in the
// network namespace of this process. An address that the running HAProxy holds
// is no conflict. HAProxy itself must not find out: with one port taken it
// stops listening on every other for two seconds while it tries again.
// A free answer is no reservation: another may take the address a moment later.
func Taken(ctx context.Context, o TakenOptions) ([]Conflict, error) {
	return nil, nil // filled in with the next change
}
