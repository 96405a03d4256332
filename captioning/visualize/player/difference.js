"use strict";

/** For each word whether it is new beside another caption, of which as many words as possible are taken to be the same. */
function newWords(words, others) {
  // longest[i][j]: how many of words[i…] are among others[j…], in the same order.
  const longest = [...words, null].map(() => Array(others.length + 1).fill(0));
  for (let i = words.length - 1; i >= 0; i--) {
    for (let j = others.length - 1; j >= 0; j--) {
      const skipped = Math.max(longest[i + 1][j], longest[i][j + 1]);
      longest[i][j] = words[i] === others[j] ? longest[i + 1][j + 1] + 1 : skipped;
    }
  }
  let j = 0;
  return words.map((word, i) => {
    while (j < others.length && others[j] !== word && longest[i][j + 1] === longest[i][j]) j++;
    const same = others[j] === word;
    if (same) j++;
    return !same;
  });
}
