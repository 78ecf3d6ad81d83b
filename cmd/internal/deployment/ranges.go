package deployment

import (
	"cmp"
	"fmt"

	"github.com/fairlead/fairlead/platform/apierr"
)

// What a version has where nothing is given; the server fills it in.
const (
	defaultCPU         = 0.1
	defaultMemoryGB    = 0.5
	defaultMinReplicas = 1
	defaultMaxReplicas = 10
)

// span is what the value of a flag may be. A request can't tell a zero from
// nothing, so that the flags are checked here, by the rules of the files.
type span struct {
	flag        string
	given       float64
	least, most float64
}

func (f *Flags) spans() []span {
	const replicas, count, timeoutMs, probe, hour = 1000, 1_000_000, 300_000, 300, 3600
	return []span{
		{"cc", f.cpu, 0.001, 1000},
		{"ccl", f.cpuLimit, 0.001, 1e9},
		{"gb", f.memory, 0.01, 10_000},
		{"gbl", f.memoryLimit, 0.01, 1e9},
		{"gc", float64(f.gpus), 0, replicas},
		{"tm", float64(f.timeoutMs), 1, timeoutMs},
		{"rm", float64(f.concurrency), 1, count},
		{"mr", float64(f.queueWaitMs), 1, timeoutMs},
		{"mi", float64(f.least), 0, replicas},
		{"ma", float64(f.most), 1, replicas},
		{"ar", float64(f.refreshSeconds), 1, hour},
		{"at", float64(f.utilization), 1, 100},
		{"nr", float64(f.replicas), 1, replicas},
		{"ps", float64(f.periodSeconds), 1, probe},
		{"id", float64(f.delaySeconds), 1, hour},
		{"ts", float64(f.probeTimeoutSeconds), 1, probe},
		{"st", float64(f.successes), 1, count},
		{"ft", float64(f.failures), 1, count},
	}
}

// wrong says what is wrong with the value; empty when nothing is.
func (s span) wrong() string {
	switch {
	case s.given >= s.least && s.given <= s.most:
		return ""
	case s.given <= 0 && s.least > 0:
		return "must be greater than 0"
	case s.given < s.least:
		return fmt.Sprintf("must not be less than %g", s.least)
	case s.given > s.most:
		return fmt.Sprintf("must not be greater than %.0f", s.most)
	}
	return "must be a number"
}

// checkFlags reports the flags whose values are out of range or contradict each
// other or what the version has otherwise.
func (d *Draft) checkFlags(f *Flags) {
	if !f.whole {
		return
	}
	bad := map[string]bool{}
	for _, s := range f.spans() {
		if wrong := s.wrong(); f.Changed(s.flag) && wrong != "" {
			bad[s.flag] = true
			d.addProblem("--"+s.flag, pathsOf(s.flag), "%s", wrong)
		}
	}
	d.checkScaling(f, bad)
	r := d.Version.GetResources()
	d.checkLimit(f, bad, limit{"ccl", r.GetCpuLimit(), "cc", cmp.Or(r.GetCpu(), defaultCPU)})
	d.checkLimit(f, bad, limit{"gbl", r.GetMemoryLimitGb(), "gb", cmp.Or(r.GetMemoryGb(), defaultMemoryGB)})
}

// checkScaling applies the rules of a number of replicas that is fixed or not.
func (d *Draft) checkScaling(f *Flags, bad map[string]bool) {
	if f.Changed("as") && !f.autoscale {
		d.Version.Autoscale = nil
		for _, flag := range []string{"mi", "ma", "ar", "at"} {
			if f.Changed(flag) && !bad[flag] {
				d.Ignored = append(d.Ignored, apierr.Violation{Field: "--" + flag, Description: "not used, since the number of replicas is fixed"})
			}
		}
		if d.Version.GetReplicas() == 0 && !f.Changed("nr") {
			d.addProblem("--nr", pathsOf("nr"), "must be given when --as is false: autoscale disabled but numReplicas not provided")
		}
	}
	a := d.Version.GetAutoscale()
	if a == nil || bad["mi"] || bad["ma"] || !f.Changed("mi") && !f.Changed("ma") {
		return
	}
	least, most := int32(defaultMinReplicas), cmp.Or(a.GetMaxReplicas(), defaultMaxReplicas)
	if a.MinReplicas != nil {
		least = a.GetMinReplicas()
	}
	covers := append(pathsOf("mi"), pathsOf("ma")...)
	switch {
	case least <= most:
	case f.Changed("mi"):
		d.addProblem("--mi", covers, "must be less than or equal to the greatest number of replicas (%d), not %d", most, least)
	default:
		d.addProblem("--ma", covers, "must be greater than or equal to the least number of replicas (%d), not %d", least, most)
	}
}

// limit is a limit of a resource beside what a replica asks for.
type limit struct {
	flag      string
	most      float64
	askedFlag string
	asked     float64
}

// checkLimit reports a flag that makes a limit less than what is asked for.
func (d *Draft) checkLimit(f *Flags, bad map[string]bool, l limit) {
	if bad[l.flag] || bad[l.askedFlag] || l.most == 0 || l.most >= l.asked {
		return
	}
	switch {
	case f.Changed(l.flag):
		d.addProblem("--"+l.flag, pathsOf(l.flag), "must be greater than or equal to what a replica asks for (%g), not %g", l.asked, l.most)
	case f.Changed(l.askedFlag):
		d.addProblem("--"+l.askedFlag, pathsOf(l.flag), "must be less than or equal to the limit that is there (%g), not %g; change both, or give --%s", l.most, l.asked, l.flag)
	}
}

// pathsOf gives the field of the request that a flag sets.
func pathsOf(flag string) []string {
	for _, s := range settings() {
		if s.flag == flag {
			return []string{s.path}
		}
	}
	return nil
}
