package app

// HistoryConfig is the keys below history.
type HistoryConfig struct {
	Entries int `name:"entries" placeholder:"N" preset:"2000" help:"Number of tables that the history keeps, for 90 days; the newest 100 are kept for ever. docs/history.md says what they cost."`
}

func (v *validation) history(c *HistoryConfig) {
	v.number("history.entries", c.Entries, 100, 1_000_000)
}
