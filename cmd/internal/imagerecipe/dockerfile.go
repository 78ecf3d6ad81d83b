package imagerecipe

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

var (
	fromPattern   = regexp.MustCompile(`(?i)^\s*FROM\s+\S`)
	escapePattern = regexp.MustCompile("(?i)^\\s*#\\s*escape\\s*=\\s*`")
)

// dockerfile writes the Dockerfile. Every instruction is one line, so that no
// escape at a line's end is needed.
func (p plan) dockerfile() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p.begin(&b)
	line("")
	line("USER root")
	if p.conda {
		line("COPY --from=environment %[1]s %[1]s", condaPrefix)
		line("ENV PATH=%s/bin:$PATH", condaPrefix)
	}
	if len(p.pip) > 0 {
		line("COPY %s/%s /tmp/%s", EnvironmentFolder, pipFile, pipFile)
		// The variable lets pip into a system's Python, where an image has only that.
		line("RUN PIP_BREAK_SYSTEM_PACKAGES=1 %s -m pip install --no-cache-dir -r /tmp/%s", shellWord(p.python), pipFile)
	}
	if p.app.FairleadImage != "" {
		line("COPY --from=fairlead %[1]s %[1]s", Program)
	} else {
		line("COPY %s %s", ProgramFile, Program)
	}
	// The script's folder is its own to write to; the models below it are not.
	line("RUN mkdir -p %[1]s && chown %[2]s %[1]s", AppRoot, user)
	if len(p.app.Models) > 0 {
		line("COPY %s/ %s/", ModelsFolder, ModelsRoot)
	}
	line("COPY --chown=%s %s/ %s/", user, AppFolder, AppRoot)
	line("")
	p.variables(line)
	line("")
	p.start(line)
	return b.String()
}

// begin writes the stages before and the image that is built on.
func (p plan) begin(b *strings.Builder) {
	base := "FROM " + p.image
	head := "# An image that answers at /score on port 5001. README.md says how to build and run it.\n"
	if text := p.environment.BaseDockerfile; text != "" {
		// Stages come behind what has to be first: parser directives and
		// arguments of FROM.
		text = strings.ReplaceAll(text, "\r\n", "\n")
		at := firstFrom(text)
		head, base = text[:at], strings.TrimRight(text[at:], "\n")
	}
	b.WriteString(head)
	if p.app.FairleadImage != "" {
		fmt.Fprintf(b, "ARG FAIRLEAD_IMAGE=%s\nFROM ${FAIRLEAD_IMAGE} AS fairlead\n\n", p.app.FairleadImage)
	}
	if p.conda {
		fmt.Fprintf(b, "FROM %s AS environment\nUSER root\nCOPY %s/%s /tmp/%s\n", condaImage, EnvironmentFolder, condaFile, condaFile)
		fmt.Fprintf(b, "RUN micromamba create --yes --prefix %s --file /tmp/%s && micromamba clean --all --yes\n\n", condaPrefix, condaFile)
	}
	b.WriteString(base + "\n")
}

// variables writes the script's variables, then those that the scorer goes by.
func (p plan) variables(line func(string, ...any)) {
	line("ENV HOME=/tmp")
	for _, name := range slices.Sorted(maps.Keys(p.environment.Variables)) {
		line("ENV %s=%s", name, quoted(p.environment.Variables[name]))
	}
	line("ENV AML_APP_ROOT=%s", AppRoot)
	line("ENV AZUREML_ENTRY_SCRIPT=%s", quoted(p.app.EntryScript))
	if dir := p.app.ModelDir(); dir != "" {
		line("ENV AZUREML_MODEL_DIR=%s", quoted(dir))
	}
}

func (p plan) start(line func(string, ...any)) {
	var ids []string
	for _, m := range p.app.Models {
		ids = append(ids, fmt.Sprintf("%s:%d", m.Name, m.Version))
	}
	if len(ids) > 0 {
		line("LABEL fairlead.models=%s", quoted(strings.Join(ids, " ")))
	}
	if p.environment.ID != "" {
		line("LABEL fairlead.environment=%s", quoted(p.environment.ID))
	}
	line("WORKDIR %s", AppRoot)
	line("USER %s", user)
	line("EXPOSE %d", Port)
	line("STOPSIGNAL SIGTERM")
	// Arguments of whoever runs the image come behind these and win.
	line("ENTRYPOINT %s", jsonWords(Program, "scorer", "--listen", fmt.Sprintf("0.0.0.0:%d", Port), "--python", p.python))
	line("CMD []")
}

// quoted writes a value as Docker reads it back: nothing in it is expanded.
func quoted(value string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`).Replace(value) + `"`
}

func shellWord(word string) string {
	if regexp.MustCompile(`^[A-Za-z0-9_./+-]+$`).MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

func jsonWords(words ...string) string {
	parts := make([]string, len(words))
	for i, w := range words {
		text, _ := json.Marshal(w) // a string always can be
		parts[i] = string(text)
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// firstFrom gives where the first FROM begins; negative when there is none.
func firstFrom(dockerfile string) int {
	at := 0
	for text := range strings.Lines(strings.ReplaceAll(dockerfile, "\r\n", "\n")) {
		if fromPattern.MatchString(text) {
			return at
		}
		at += len(text)
	}
	return -1
}

func otherEscape(dockerfile string) bool {
	for text := range strings.Lines(dockerfile) {
		if !strings.HasPrefix(strings.TrimSpace(text), "#") {
			return false
		}
		if escapePattern.MatchString(text) {
			return true
		}
	}
	return false
}
