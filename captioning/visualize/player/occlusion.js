"use strict";

/* The look that shows what mattered: how much less likely each place makes the word when it is hidden. */

const OCCLUSION = "occlusion";

/** Whether the look is what mattered, and nobody has found out yet. */
function lacksOcclusion(look, captions) {
  return look === OCCLUSION && captions.some(({ agreement }) => agreement === null);
}

/** Explain the look, or say that it is being found out; for other looks nothing. */
function explainOcclusion(note, look, captions) {
  note.hidden = look !== OCCLUSION;
  const waiting = lacksOcclusion(look, captions);
  note.classList.toggle("waiting", waiting);
  const agreement = captions.map((caption) => caption.agreement?.toFixed(2).replace("-", "−")).join(" and ");
  note.textContent = waiting
    ? "Hiding each place in turn …"
    : "Each place was hidden in turn, and the words were scored again. Bright is where hiding made the word less " +
      `likely. Rank correlation with the attention: ${agreement}.`;
}
