package apply

import (
	"fmt"
	"strings"

	"github.com/fairlead/fairlead/cmd/internal/output"
	"github.com/fairlead/fairlead/cmd/internal/plan"
)

// document shows what there is to do, or what has been done.
func document(all []target, done bool) output.Document {
	plans, names := make([]plan.Plan, len(all)), make([]string, len(all))
	for i, t := range all {
		plans[i], names[i] = t.plan, t.wanted.ID
	}
	return output.Document{Value: plans, Names: names, Text: func(t *output.Text) {
		for _, p := range plans {
			t.Linef("endpoint %s: %s", p.Endpoint, verdict(p, done))
			for _, step := range p.Steps {
				show(t, step)
			}
			for _, id := range p.Kept {
				t.Linef("  version %s is not in the file and stays (--prune deletes it)", id)
			}
		}
	}}
}

func verdict(p plan.Plan, done bool) string {
	created := p.Changes() && p.Steps[0].Verb == plan.CreateEndpoint
	switch {
	case !p.Changes():
		return "unchanged"
	case created && done:
		return "created"
	case created:
		return "to be created"
	case done:
		return "changed"
	}
	return "to be changed"
}

func show(t *output.Text, step plan.Step) {
	if step.Verb == plan.CreateEndpoint {
		t.Linef("+ endpoint")
		for _, d := range step.Endpoint {
			t.Linef("    %s", output.Clean(line(d)))
		}
	}
	switch step.Verb {
	case plan.CreateEndpoint, plan.CreateVersion:
		t.Linef("+ version %s", step.Version)
	case plan.UpdateVersion:
		t.Linef("~ version %s", step.Version)
	case plan.UpdateEndpoint:
		t.Linef("~ endpoint")
	case plan.MoveTraffic:
		t.Linef("~ traffic of version %s", step.Version)
	case plan.DeleteVersion:
		t.Linef("- version %s", step.Version)
	}
	files := map[string]int{}
	for _, d := range step.Differences {
		if strings.HasPrefix(d.Field, "sourceFiles.") {
			files[kind(d)]++
			continue
		}
		t.Linef("    %s", output.Clean(line(d)))
	}
	var counts []string
	for _, k := range []string{"added", "changed", "removed"} {
		if files[k] > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", files[k], k))
		}
	}
	if len(counts) > 0 {
		t.Linef("    ~ source files: %s", strings.Join(counts, ", "))
	}
}

// kind says what becomes of a field.
func kind(d plan.Difference) string {
	switch {
	case d.Before == "":
		return "added"
	case d.After == "":
		return "removed"
	}
	return "changed"
}

func line(d plan.Difference) string {
	switch {
	case d.Before == "":
		return fmt.Sprintf("+ %s: %s", d.Field, d.After)
	case d.After == "":
		return fmt.Sprintf("- %s: %s", d.Field, d.Before)
	}
	return fmt.Sprintf("~ %s: %s -> %s", d.Field, d.Before, d.After)
}
