package confload

import (
	"cmp"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"fairway/internal/nearest"
	"fairway/internal/yamlnode"
)

// set parses and stores texts, one for each value. A fault leaves the field as it was.
func (f Field) set(texts []string) error {
	text := strings.Join(texts, "")
	switch p := f.Pointer.(type) {
	case *string:
		*p = text
	case *bool:
		return store(p, text, strconv.ParseBool, "write true or false")
	case *int:
		return store(p, text, strconv.Atoi, "not a number")
	case *time.Duration:
		return store(p, text, time.ParseDuration, "not a duration; write 50ms, 2s or 1m")
	case *[]string:
		*p = texts
	default:
		return f.setList(texts)
	}
	return nil
}

// store parses a single value; what is wrong is said by hint.
func store[T any](p *T, text string, parse func(string) (T, error), hint string) error {
	v, err := parse(text)
	if err != nil {
		return errors.New(hint)
	}
	*p = v
	return nil
}

// setList parses a list of values with a text form of their own, or of records.
func (f Field) setList(texts []string) error {
	list := reflect.New(reflect.TypeOf(f.Pointer).Elem()).Elem()
	for i, text := range texts {
		item := reflect.New(list.Type().Elem())
		var err error
		switch p := item.Interface().(type) {
		case *netip.Prefix:
			*p, err = parsePrefix(text)
		case encoding.TextUnmarshaler:
			err = p.UnmarshalText([]byte(text))
		default:
			if err = parseRecord(text, p); err != nil {
				err = fmt.Errorf("number %d: %w", i+1, err)
			}
		}
		if err != nil {
			return err
		}
		list = reflect.Append(list, item.Elem())
	}
	reflect.ValueOf(f.Pointer).Elem().Set(list)
	return nil
}

// parsePrefix reads a network, or one address as the network of itself.
func parsePrefix(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is no network; write 10.0.0.0/8 or fd00::/8", text)
	}
	return prefix.Masked(), nil
}

// Value returns what the field holds: a string, a bool, an int or a list of texts.
// A string and each value of a list are passed to mask, which may hide secrets; nil, of what is
// no list, hides nothing.
func (f Field) Value(mask func(any) any) any {
	switch p := f.Pointer.(type) {
	case *time.Duration:
		return p.String()
	case *bool:
		return *p
	case *int:
		return *p
	case *string:
		if mask == nil {
			return *p
		}
		return mask(*p)
	}
	list := reflect.ValueOf(f.Pointer).Elem()
	texts := make([]string, 0, list.Len())
	for i := range list.Len() {
		switch v := mask(list.Index(i).Interface()).(type) {
		case string:
			texts = append(texts, v)
		case fmt.Stringer:
			texts = append(texts, v.String())
		default:
			texts = append(texts, recordText(v))
		}
	}
	return texts
}

// isRecords is true for a list of records.
func (f Field) isRecords() bool {
	t := reflect.TypeOf(f.Pointer).Elem()
	return t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct && !reflect.PointerTo(t.Elem()).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// isPairs is true for a list that may be a mapping in the file.
func (f Field) isPairs() bool {
	_, pairs := f.tag.Lookup("pairs")
	return pairs
}

// itemText returns an item of a list in the file as it may be given in a flag. A
// value whose text form has parts may be a mapping of all of them.
func (f Field) itemText(item *yaml.Node) (text string, ok bool) {
	of := reflect.TypeOf(f.Pointer).Elem().Elem()
	switch {
	case item.Kind == yaml.ScalarNode:
		return item.Value, item.Tag != "!!null"
	case item.Kind != yaml.MappingNode || of.Kind() != reflect.Struct:
		return "", false
	case f.isRecords():
		var value map[string]any
		err := item.Decode(&value)
		data, encodeErr := json.Marshal(value)
		return string(data), err == nil && encodeErr == nil
	}
	var values []string
	for _, name := range parts(of) {
		values = append(values, yamlnode.Text(yamlnode.Get(item, name)))
	}
	return strings.Join(values, ","), len(values) > 0 && !slices.Contains(values, "") && len(item.Content) == 2*len(values)
}

// parts names the parts of a record, or of a value whose text form has parts.
func parts(t reflect.Type) (names []string) {
	for i := range t.NumField() {
		if name := t.Field(i).Tag.Get("yaml"); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// parseRecord reads one record into a pointer to a struct.
func parseRecord(text string, into any) error {
	var node yaml.Node
	if err := yaml.Unmarshal([]byte(text), &node); err != nil {
		_, reason := yamlnode.Reason(err)
		return errors.New(reason)
	}
	if len(node.Content) != 1 || node.Content[0].Kind != yaml.MappingNode {
		return errors.New("write {name: …, …}")
	}
	record, known := node.Content[0], parts(reflect.TypeOf(into).Elem())
	for i := 0; i < len(record.Content); i += 2 {
		name := record.Content[i].Value
		switch near := nearest.Word(name, known); {
		case slices.Contains(known, name):
		case near != "":
			return fmt.Errorf("%q means nothing here; did you mean %s?", name, near)
		default:
			return fmt.Errorf("%q means nothing here", name)
		}
	}
	if err := record.Decode(into); err != nil {
		_, reason := yamlnode.Reason(err)
		reason = strings.TrimPrefix(reason, "unmarshal errors: ")
		_, reason = yamlnode.CutLine(strings.TrimPrefix(reason, "construct errors: "))
		return errors.New(reason)
	}
	return nil
}

// recordText writes a record as in a flag, without the parts that are zero.
func recordText(record any) string {
	v := reflect.ValueOf(record)
	var written []string
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			continue
		}
		value := v.Field(i).Interface()
		if d, ok := value.(time.Duration); ok {
			value = d.String()
		}
		text, err := json.Marshal(value)
		if err != nil {
			continue // texts, numbers and lists of texts always encode
		}
		written = append(written, v.Type().Field(i).Tag.Get("yaml")+": "+string(text))
	}
	return "{" + strings.Join(written, ", ") + "}"
}

// Check returns what the tags of fields say is wrong with their values. A key without a
// value is only at fault where its default has been overwritten with nothing.
func Check(fields []Field) (faults Faults) {
	given := map[string]bool{}
	for _, f := range fields {
		given[f.Name] = !reflect.ValueOf(f.Pointer).Elem().IsZero()
	}
	for _, f := range fields {
		if needs := f.tag.Get("needs"); needs != "" && given[f.Name] && !given[needs] {
			faults = append(faults, Fault{Key: f.Name, Value: fmt.Sprint(f.Value(nil)), Reason: "needs " + needs})
		}
		if reason := f.refused(); reason != "" {
			faults = append(faults, Fault{Key: f.Name, Value: fmt.Sprint(f.Value(nil)), Reason: reason})
		}
	}
	return faults
}

// refused says what is wrong with the value alone; empty for nothing.
func (f Field) refused() string {
	switch p := f.Pointer.(type) {
	case *int:
		return outside(f, *p, strconv.Atoi)
	case *time.Duration:
		return outside(f, *p, time.ParseDuration)
	case *string:
		if *p == "" && f.tag.Get("preset") == "" {
			return ""
		}
		if _, ok := f.tag.Lookup("file"); ok {
			return RefusedFile(*p)
		}
		allowed := strings.Split(f.tag.Get("oneof"), ",")
		if last := len(allowed) - 1; last > 0 && !slices.Contains(allowed, *p) {
			return "write " + strings.Join(allowed[:last], ", ") + " or " + allowed[last]
		}
	}
	return ""
}

// outside says that a value is not between the tags least and most, if that is so.
func outside[T cmp.Ordered](f Field, value T, parse func(string) (T, error)) string {
	least, errLeast := parse(f.tag.Get("least"))
	most, errMost := parse(f.tag.Get("most"))
	if errLeast != nil || errMost != nil || least <= value && value <= most {
		return ""
	}
	return fmt.Sprintf("must be between %v and %v", least, most)
}

// RefusedFile says why a path does not name a file; empty for one that does.
func RefusedFile(path string) string {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return fmt.Sprintf("cannot be read: %v", errors.Unwrap(err)) // without the path, which the fault has
	case info.IsDir():
		return "is a directory"
	}
	return ""
}
