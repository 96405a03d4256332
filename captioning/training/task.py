"""One stage of training as a Lightning module: the loss, the optimizer, and a dev split that is really decoded."""

import lightning
import torch
from torch.nn import functional

from captioning.data.loaders import Batch
from captioning.evaluation.metrics import bleu
from captioning.inference.beam_search import SearchOptions, beam_search
from captioning.model.model import CaptioningModel
from captioning.training.settings import StageSettings
from captioning.vocabulary import PAD, Vocabulary

GREEDY = SearchOptions(beam_size=1)


class CaptioningTask(lightning.LightningModule):
    """Teacher forcing on cached features, or on pixels where blocks of the encoder are trained too.

    The captions of the dev split are generated greedily after every epoch.

    Logs `train_loss`, `valid_loss` (cross-entropy alone, so that settings can be compared), `top5` (share of
    reference words among the five likeliest) and `bleu4`.

    Args:
        model: what is trained.
        vocabulary: its words.
        settings: of the stage.
        references: for every dev photo its tokenized captions.
        seed: of dropout and of the choice of mirror images.
    """

    def __init__(
        self,
        model: CaptioningModel,
        vocabulary: Vocabulary,
        settings: StageSettings,
        references: list[list[list[str]]],
        seed: int,
    ):
        super().__init__()
        self.model, self.vocabulary, self.settings, self.references = model, vocabulary, settings, references
        self.seed = seed
        self._generated: dict[int, list[str]] = {}

    # Each epoch has its own seed, so that a resumed run draws what an uninterrupted one does. It is set where the
    # epoch before ends, since Lightning fetches the first batch before it says that an epoch starts.

    def on_train_start(self) -> None:
        self._seed_epoch(self.current_epoch)

    def on_train_epoch_end(self) -> None:
        self._seed_epoch(self.current_epoch + 1)

    def _seed_epoch(self, epoch: int) -> None:
        torch.manual_seed(self.seed * 1_000_003 + epoch)

    def training_step(self, batch: Batch, batch_index: int) -> torch.Tensor:
        logits, attention = self.model.decoder(self._features(batch), batch.captions)
        targets = batch.captions[:, :, 1:]
        loss = cross_entropy(logits, targets, self.settings.label_smoothing)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(targets))
        self.log("loss", loss, prog_bar=True, batch_size=len(targets))
        return loss + self.settings.attention_weight * doubly_stochastic_penalty(attention, targets)

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        features = self._features(batch)
        logits, _ = self.model.decoder(features, batch.captions)
        targets = batch.captions[:, :, 1:]
        words = targets != PAD
        top5 = (logits.topk(5, dim=-1).indices == targets.unsqueeze(-1)).any(dim=-1)[words].float().mean()
        scores = {"valid_loss": cross_entropy(logits, targets, 0.0), "top5": 100 * top5}
        self.log_dict(scores, batch_size=int(words.sum()))
        found = beam_search(self.model.decoder, features, GREEDY)
        for index, hypotheses in zip(batch.indices.tolist(), found, strict=True):
            self._generated[index] = self.vocabulary.decode(hypotheses[0].tokens)

    def _features(self, batch: Batch) -> torch.Tensor:
        return self.model.encoder(batch.inputs) if self.settings.trained_blocks else batch.inputs

    def on_validation_epoch_end(self) -> None:
        indices = sorted(self._generated)
        captions = [self._generated[index] for index in indices]
        score = bleu(captions, [self.references[index] for index in indices])[3]
        self.log("bleu4", score, prog_bar=True)
        self._generated.clear()

    def configure_optimizers(self):
        parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.Adam(parameters, lr=self.settings.learning_rate)
        if self.settings.schedule == "constant":
            return optimizer
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, self.settings.learning_rate, total_steps=int(self.trainer.estimated_stepping_batches)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def cross_entropy(logits: torch.Tensor, targets: torch.Tensor, label_smoothing: float) -> torch.Tensor:
    """Mean over the words of logits (…, V) against ids (…); `<pad>` does not count."""
    return functional.cross_entropy(
        logits.flatten(0, -2), targets.flatten(), ignore_index=PAD, label_smoothing=label_smoothing
    )


def doubly_stochastic_penalty(attention: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean over captions and cells of (1 − Σ_t α_t)²: each cell should be looked at (Xu et al., equation 14).

    Args:
        attention: weights (N, K, T, L).
        targets: ids (N, K, T), `<pad>` where a caption is over.
    """
    words = targets != PAD
    looked = (attention * words.unsqueeze(-1)).sum(dim=2)
    return (1 - looked)[words.any(dim=2)].square().mean()
