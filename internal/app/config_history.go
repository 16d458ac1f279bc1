package app

import "time"

// HistoryConfig is the keys below history.
type HistoryConfig struct {
	Entries int           `name:"entries" placeholder:"N" preset:"2000" help:"How many tables the history keeps; docs/history.md says what they cost."`
	Age     time.Duration `name:"age" placeholder:"DURATION" preset:"2160h" help:"How long it keeps them; the newest 100 stay whatever their age."`
}

func (v *validation) history(c *HistoryConfig) {
	v.number("history.entries", c.Entries, 100, 1_000_000)
	v.duration("history.age", c.Age, time.Hour, 10*365*24*time.Hour)
}
