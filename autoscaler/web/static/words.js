// How times, counts and states are said. The words of states and reasons are the API's.

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

const two = (number) => String(number).padStart(2, "0");

/** Return a duration in its two largest units: `1m15s`, `2h`, `3d4h`. */
export function duration(seconds) {
  let rest = Math.max(0, Math.round(seconds));
  const units = [[86400, "d"], [3600, "h"], [60, "m"], [1, "s"]];
  const first = units.findIndex(([size]) => rest >= size);
  if (first < 0) return "0s";
  return units
    .slice(first, first + 2)
    .map(([size, unit]) => {
      const count = Math.floor(rest / size);
      rest -= count * size;
      return count ? `${count}${unit}` : "";
    })
    .join("");
}

/** Return the time of day, with the date if it is not today. */
export function moment(at, now) {
  const then = new Date(at * 1000);
  const time = `${two(then.getHours())}:${two(then.getMinutes())}:${two(then.getSeconds())}`;
  if (new Date(now * 1000).toDateString() === then.toDateString()) return time;
  return `${then.getDate()} ${MONTHS[then.getMonth()]} ${time}`;
}

/** Return a value with its unit, to four digits. */
export function amount(value, unit) {
  if (value === null || value === undefined) return "no sample";
  const text = String(Number(value.toPrecision(4)));
  return unit ? `${text} ${unit}` : text;
}

/** Return a word of the API as people write it: `at_maximum` is "at maximum". */
export const plain = (word) => String(word).replaceAll("_", " ");

/** Return file and line without the folders above. */
export const short = (place) => place.replace(/^.*\//, "");

export const MODES = { live: "LIVE", dry_run: "DRY-RUN" };
