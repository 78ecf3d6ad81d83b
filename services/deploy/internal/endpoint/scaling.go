package endpoint

import (
	"time"

	"github.com/fairlead/fairlead/platform/apierr"
)

// What a part of the autoscaling has when it is not given.
const (
	DefaultMinReplicas       = 1
	DefaultMaxReplicas       = 10
	DefaultTargetUtilization = 70
	DefaultRefreshPeriod     = time.Second
	DefaultIdleTime          = time.Minute

	maxReplicas      = 1000
	maxRefreshPeriod = time.Hour
	maxIdleTime      = 24 * time.Hour
)

// Autoscale says how the number of replicas follows the load, with every
// default filled in.
type Autoscale struct {
	Min           int           `json:"min"`
	Max           int           `json:"max"`
	Target        int           `json:"target"` // percent
	RefreshPeriod time.Duration `json:"refreshPeriod"`
	IdleTime      time.Duration `json:"idleTime"`
}

// AutoscaleInput is Autoscale as a user writes it: nil and zero mean not given,
// except that a Min of zero that is given is meant.
type AutoscaleInput struct {
	Min           *int
	Max           int
	Target        int
	RefreshPeriod *time.Duration
	IdleTime      *time.Duration
}

// HoldsWhenEmpty tells whether requests wait while the version has no replica,
// because the first one starts when they come.
func (s Spec) HoldsWhenEmpty() bool { return s.Autoscale != nil && s.Autoscale.Min == 0 }

// scaling reads how many replicas are wanted: a fixed number, or by load.
func (in SpecInput) scaling(field string, v *apierr.Violations) (int, *Autoscale) {
	at := field + ".replicas"
	if in.Autoscale == nil {
		n := count(at, in.Replicas, 1, v)
		if n > maxReplicas {
			v.Add(at, "must not be greater than %d", maxReplicas)
		}
		return n, nil
	}
	if in.Replicas != 0 {
		v.Add(at, "cannot be given together with autoscale: leave out replicas to scale by load, or autoscale to have %d all the time", in.Replicas)
	}
	return 0, in.Autoscale.autoscale(field+".autoscale", v)
}

func (in AutoscaleInput) autoscale(field string, v *apierr.Violations) *Autoscale {
	at := func(name string) string { return field + "." + name }
	a := Autoscale{
		Min: DefaultMinReplicas, Max: orDefault(in.Max, DefaultMaxReplicas), Target: orDefault(in.Target, DefaultTargetUtilization),
		RefreshPeriod: between(at("refresh_period"), in.RefreshPeriod, DefaultRefreshPeriod, maxRefreshPeriod, v),
		IdleTime:      between(at("idle_time"), in.IdleTime, DefaultIdleTime, maxIdleTime, v),
	}
	if in.Min != nil {
		a.Min = *in.Min
	}
	if a.Min < 0 || a.Min > maxReplicas {
		v.Add(at("min_replicas"), "must be 0 to %d, not %d", maxReplicas, a.Min)
	}
	if a.Max < 1 || a.Max > maxReplicas {
		v.Add(at("max_replicas"), "must be 1 to %d, not %d", maxReplicas, a.Max)
	}
	if a.Min > a.Max {
		v.Add(at("min_replicas"), "must be less than or equal to max_replicas (%d), not %d", a.Max, a.Min)
	}
	if a.Target < 1 || a.Target > 100 {
		v.Add(at("target_utilization_percent"), "must be 1 to 100, not %d", a.Target)
	}
	return &a
}

func orDefault(given, byDefault int) int {
	if given == 0 {
		return byDefault
	}
	return given
}

// between reads a duration of at least a second.
func between(field string, given *time.Duration, byDefault, most time.Duration, v *apierr.Violations) time.Duration {
	if given == nil {
		return byDefault
	}
	if *given < time.Second || *given > most {
		v.Add(field, "must be %s to %s, not %s", time.Second, most, *given)
	}
	return *given
}
