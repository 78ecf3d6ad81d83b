package transfer

import (
	"fmt"

	"github.com/fairlead/fairlead/cmd/internal/output"
	"github.com/fairlead/fairlead/cmd/internal/plan"
)

// action is what becomes of one thing.
type action string

const (
	create    action = "create"
	change    action = "change"
	unchanged action = "unchanged"
	kept      action = "kept" // as it is, although the export has it otherwise
)

// item is one thing of an export and what becomes of it.
type item struct {
	Kind   string `json:"kind"`
	Name   string `json:"name"`
	Action action `json:"action"`
	// As is the name that it has here, where that is another one.
	As string `json:"as,omitempty"`
}

// words says it for people.
func (i item) words(done bool) string {
	text := map[action]string{create: "to be created", change: "to be changed", unchanged: "unchanged", kept: "differs and stays as it is"}[i.Action]
	if done {
		text = map[action]string{create: "created", change: "changed", unchanged: "unchanged", kept: "differs and stays as it is"}[i.Action]
	}
	if i.As != "" {
		text += " as " + i.As + ": endpoints use that; scripts that name the number do not"
	}
	return text
}

func (w *work) note(kind, name string, i item) {
	i.Kind, i.Name = kind, name
	w.items = append(w.items, i)
}

// noteVersion notes what becomes of a version of a model or an environment.
func (w *work) noteVersion(kind, name string, number int64, to place, same bool) {
	i := item{Action: create}
	if to.exists {
		i = stays(same)
	}
	if to.number != number {
		i.As = fmt.Sprintf("%s:%d", name, to.number)
	}
	w.note(kind, fmt.Sprintf("%s:%d", name, number), i)
}

// stays is for what is there already.
func stays(same bool) item {
	if same {
		return item{Action: unchanged}
	}
	return item{Action: kept}
}

func endpointItem(p plan.Plan) item {
	switch {
	case !p.Changes():
		return item{Action: unchanged}
	case p.Steps[0].Verb == plan.CreateEndpoint:
		return item{Action: create}
	}
	return item{Action: change}
}

// imported is what became of one workspace, for programs.
type imported struct {
	Workspace string `json:"workspace"`
	Items     []item `json:"items"`
}

func summary(all []*work, done bool) output.Document {
	values, names := make([]imported, len(all)), make([]string, len(all))
	changes := 0
	for n, w := range all {
		values[n], names[n] = imported{Workspace: w.workspace.ID, Items: w.items}, w.workspace.ID
		for _, i := range w.items {
			if i.Action == create || i.Action == change {
				changes++
			}
		}
	}
	return output.Document{Value: values, Names: names, Text: func(t *output.Text) {
		for _, v := range values {
			for _, i := range v.Items {
				at := ""
				if len(values) > 1 && i.Kind != "workspace" {
					at = " in " + v.Workspace
				}
				kind := i.Kind
				if kind == "keys" {
					kind = "keys of endpoint"
				}
				t.Linef("%s %s%s: %s", kind, i.Name, at, i.words(done))
			}
		}
		if changes == 0 {
			t.Linef("nothing to change")
		}
	}}
}
