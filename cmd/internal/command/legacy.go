package command

import (
	"slices"
	"strings"
)

// legacyFlag is a flag as the old command line had it.
type legacyFlag struct {
	short, long string
	boolean     bool // it took "true" or "false" as a separate word
}

func legacyFlags() []legacyFlag {
	return []legacyFlag{
		{short: "ic", long: "inference-config-file"},
		{short: "dc", long: "deploy-config-file"},
		{short: "ct", long: "compute-target"},
		{short: "vn", long: "version-name"},
		{short: "tp", long: "traffic-percentile"},
		{short: "es", long: "entry-script"},
		{short: "sd", long: "source-directory"},
		{short: "cc", long: "cpu-cores"},
		{short: "ccl", long: "cpu-cores-limit"},
		{short: "gb", long: "memory-gb"},
		{short: "gbl", long: "memory-gb-limit"},
		{short: "gc", long: "gpu-cores"},
		{short: "nr", long: "num-replicas"},
		{short: "tm", long: "timeout-ms"},
		{short: "rm", long: "replica-max-concurrent-requests"},
		{short: "mr", long: "max-request-wait-time"},
		{short: "kp", long: "primary-key"},
		{short: "ks", long: "secondary-key"},
		{short: "ps", long: "period-seconds"},
		{short: "id", long: "initial-delay-seconds"},
		{short: "ts", long: "timeout-seconds"},
		{short: "st", long: "success-threshold"},
		{short: "ft", long: "failure-threshold"},
		{short: "ae", long: "auth-enabled", boolean: true},
		{short: "cvt", long: "control-version-type", boolean: true},
		{short: "is-default", long: "is-default", boolean: true},
		{short: "as", long: "autoscale-enabled", boolean: true},
		{short: "mi", long: "autoscale-min-replicas"},
		{short: "ma", long: "autoscale-max-replicas"},
		{short: "ar", long: "autoscale-refresh-seconds"},
		{short: "at", long: "autoscale-target-utilization"},
		{short: "md", long: "collect-model-data", boolean: true},
		{short: "ai", long: "enable-app-insights", boolean: true},
		{short: "token-auth-enabled", long: "token-auth-enabled", boolean: true},
		{short: "ev", long: "environment-version"},
		{short: "cf", long: "conda-file"},
	}
}

// oldFlags rewrites what the old command line allowed and POSIX flags do not: a
// name of several letters behind one dash (-ic FILE becomes --ic FILE), and the
// value of a boolean as a word of its own (--ae false becomes --ae=false). Words
// behind -- stay as they are.
func oldFlags(args []string) []string {
	flags := legacyFlags()
	var out []string
	for i := 0; i < len(args); i++ {
		word := args[i]
		if word == "--" {
			return append(out, args[i:]...)
		}
		name, _, hasValue := strings.Cut(strings.TrimLeft(word, "-"), "=")
		at := slices.IndexFunc(flags, func(f legacyFlag) bool { return f.short == name || f.long == name })
		if at < 0 || !strings.HasPrefix(word, "-") {
			out = append(out, word)
			continue
		}
		if !strings.HasPrefix(word, "--") && flags[at].short == name {
			word = "-" + word
		}
		if flags[at].boolean && !hasValue && i+1 < len(args) {
			if value := strings.ToLower(args[i+1]); value == "true" || value == "false" {
				word += "=" + value
				i++
			}
		}
		out = append(out, word)
	}
	return out
}
