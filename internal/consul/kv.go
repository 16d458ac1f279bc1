package consul

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Pair is a key with its value.
type Pair struct {
	Key   string
	Value []byte
	// Flags is a number that belongs to the writer of the value.
	Flags uint64
	// Session is the ID of the session that holds the key as a lock; empty for none.
	Session string
	// ModifyIndex is Consul's index of the last change.
	ModifyIndex uint64
}

// path is that of a key. Consul takes a key without a slash in front.
func keyPath(key string) string {
	parts := strings.Split(key, "/")
	for i, part := range parts {
		parts[i] = url.PathEscape(part)
	}
	return "/v1/kv/" + strings.Join(parts, "/")
}

// Get reads a key, or returns ErrNotFound.
func (c *Client) Get(ctx context.Context, key string) (Pair, error) {
	pair, _, err := c.Await(ctx, key, 0, 0)
	return pair, err
}

// Await reads a key once its index is above index, or after wait (at most 10 min). Index zero
// answers at once. It returns the index for the next call, also with ErrNotFound; an index
// that went back is zero. An answer may be the same as the one before.
func (c *Client) Await(ctx context.Context, key string, index uint64, wait time.Duration) (Pair, uint64, error) {
	pairs, next, err := c.read(ctx, key, false, index, wait)
	if err != nil || len(pairs) == 0 {
		return Pair{}, next, orNotFound(err, key)
	}
	return pairs[0], next, nil
}

// List reads all keys that begin with a prefix, sorted. There may be none.
func (c *Client) List(ctx context.Context, prefix string) ([]Pair, error) {
	pairs, _, err := c.read(ctx, prefix, true, 0, 0)
	return pairs, err
}

// AwaitList is List under the rules of Await.
func (c *Client) AwaitList(ctx context.Context, prefix string, index uint64, wait time.Duration) ([]Pair, uint64, error) {
	return c.read(ctx, prefix, true, index, wait)
}

// Keys returns the keys that begin with a prefix, sorted; with a separator each is cut after
// the first one behind the prefix. There may be none.
func (c *Client) Keys(ctx context.Context, prefix, separator string) ([]string, error) {
	query := url.Values{"keys": {""}}
	if separator != "" {
		query.Set("separator", separator)
	}
	out, err := c.do(ctx, call{method: http.MethodGet, path: keyPath(prefix), query: query}, http.StatusNotFound)
	if err != nil || out.status == http.StatusNotFound {
		return nil, err
	}
	var keys []string
	return keys, decode(out.body, &keys)
}

func orNotFound(err error, key string) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: %s", ErrNotFound, key)
}

func (c *Client) read(ctx context.Context, key string, below bool, index uint64, wait time.Duration) ([]Pair, uint64, error) {
	in := call{method: http.MethodGet, path: keyPath(key), query: url.Values{}}
	if below {
		in.query.Set("recurse", "")
	}
	in.holdFor(index, wait)
	out, err := c.do(ctx, in, http.StatusNotFound)
	if err != nil {
		return nil, 0, err
	}
	next := out.next(index)
	if out.status == http.StatusNotFound {
		return nil, next, nil
	}
	var pairs []Pair
	return pairs, next, decode(out.body, &pairs)
}

// holdFor has an answer held back until the index is above index, for wait at most.
func (in *call) holdFor(index uint64, wait time.Duration) {
	if index == 0 {
		return
	}
	in.hold = min(max(wait, time.Second), 10*time.Minute)
	in.query.Set("index", strconv.FormatUint(index, 10))
	in.query.Set("wait", strconv.FormatInt(in.hold.Milliseconds(), 10)+"ms")
}

// next is the index to wait with after one; zero begins again, as with another server or a
// restored one.
func (a answer) next(index uint64) uint64 {
	if n := max(a.index, 1); n >= index {
		return n
	}
	return 0
}

// Put writes a key.
func (c *Client) Put(ctx context.Context, key string, value []byte, flags uint64) error {
	_, err := c.put(ctx, key, value, url.Values{"flags": {strconv.FormatUint(flags, 10)}})
	return err
}

// PutIf writes a key whose ModifyIndex is still index; zero is a key that is not there. It
// reports whether it was written.
func (c *Client) PutIf(ctx context.Context, key string, value []byte, flags, index uint64) (bool, error) {
	return c.put(ctx, key, value, url.Values{"flags": {strconv.FormatUint(flags, 10)}, "cas": {strconv.FormatUint(index, 10)}})
}

func (c *Client) put(ctx context.Context, key string, value []byte, query url.Values) (bool, error) {
	if len(value) > MaxValue {
		return false, fmt.Errorf("%w: %s", ErrTooLarge, key)
	}
	return c.whether(ctx, call{method: http.MethodPut, path: keyPath(key), query: query, body: value})
}

// Delete removes a key; one that is not there is no error.
func (c *Client) Delete(ctx context.Context, key string) error {
	_, err := c.whether(ctx, call{method: http.MethodDelete, path: keyPath(key)})
	return err
}

// DeleteIf removes a key whose ModifyIndex is still index, and reports whether it did.
func (c *Client) DeleteIf(ctx context.Context, key string, index uint64) (bool, error) {
	return c.whether(ctx, call{method: http.MethodDelete, path: keyPath(key), query: url.Values{"cas": {strconv.FormatUint(index, 10)}}})
}

// DeleteBelow removes all keys that begin with a prefix, which may not be empty.
func (c *Client) DeleteBelow(ctx context.Context, prefix string) error {
	if prefix == "" {
		return fmt.Errorf("consul: the empty prefix is everything")
	}
	_, err := c.whether(ctx, call{method: http.MethodDelete, path: keyPath(prefix), query: url.Values{"recurse": {""}}})
	return err
}

// whether makes a call that Consul answers with true or false.
func (c *Client) whether(ctx context.Context, in call) (yes bool, err error) {
	out, err := c.do(ctx, in)
	if err != nil {
		return false, err
	}
	return yes, decode(out.body, &yes)
}

// operation is one of a transaction over keys.
type operation struct {
	Verb    string
	Key     string
	Value   []byte `json:",omitempty"`
	Flags   uint64 `json:",omitempty"`
	Session string `json:",omitempty"`
}

// transact makes all operations or none; false is a condition that did not hold.
func (c *Client) transact(ctx context.Context, operations ...operation) (bool, error) {
	list := make([]map[string]operation, 0, len(operations))
	for _, o := range operations {
		list = append(list, map[string]operation{"KV": o})
	}
	body, err := json.Marshal(list)
	if err != nil {
		return false, fmt.Errorf("consul: %w", err)
	}
	if len(body) > MaxValue {
		return false, fmt.Errorf("%w in a transaction: %s", ErrTooLarge, operations[len(operations)-1].Key)
	}
	out, err := c.do(ctx, call{method: http.MethodPut, path: "/v1/txn", body: body}, http.StatusConflict)
	return err == nil && out.status != http.StatusConflict, err
}

func decode(body []byte, into any) error {
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("consul: an answer that cannot be read: %w", err)
	}
	return nil
}
