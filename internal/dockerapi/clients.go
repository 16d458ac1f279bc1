package dockerapi

import "time"

// NewAll returns a client for each engine, all with the same deadline. A URL that
// comes again is left out.
func NewAll(engines []Options, timeout time.Duration) ([]*Client, error) {
	var clients []*Client
	seen := map[string]bool{}
	for _, o := range engines {
		if seen[o.URL] {
			continue
		}
		seen[o.URL] = true
		o.Timeout = timeout
		c, err := New(o)
		if err != nil {
			for _, c := range clients {
				c.Close()
			}
			return nil, err
		}
		clients = append(clients, c)
	}
	return clients, nil
}
