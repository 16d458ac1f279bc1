//go:build !race

package embedded

// underRace: the race detector is on, which takes memory of its own and empties pools.
const underRace = false
