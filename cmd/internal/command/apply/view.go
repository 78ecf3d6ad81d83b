package apply

import (
	"fmt"

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
	for _, d := range step.Differences {
		t.Linef("    %s", output.Clean(line(d)))
	}
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
