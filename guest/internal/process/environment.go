package process

import "maps"

// defaults is the environment that every command gets; PATH is Debian's for root.
var defaults = map[string]string{
	"HOME":    "/root",
	"LANG":    "C.UTF-8",
	"LOGNAME": "root",
	"PATH":    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	"USER":    "root",
}

// layered joins environments; a later one hides names of an earlier one.
func layered(layers ...map[string]string) map[string]string {
	result := map[string]string{}
	for _, layer := range layers {
		maps.Copy(result, layer)
	}
	return result
}

func assignments(environment map[string]string) []string {
	result := make([]string, 0, len(environment))
	for name, value := range environment {
		result = append(result, name+"="+value)
	}
	return result
}
